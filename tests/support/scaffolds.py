"""Sources that a scaffold wrote, as modules."""

from __future__ import annotations

import types

import sqlalchemy as sa


class Shape(sa.types.UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_):
        return "SHAPE"


def run(source, **names):
    """The module that *source* is, with *names* that it does not import."""
    module = types.ModuleType("binding")
    vars(module).update(names)
    exec(compile(source, "binding", "exec"), vars(module))
    return module
