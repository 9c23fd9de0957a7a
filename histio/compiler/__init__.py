"""The happy path: kinds made into statements and functions that marshmallow need not be asked for.

What they do is what marshmallow would do, or they decline: then it is asked after all.
"""
