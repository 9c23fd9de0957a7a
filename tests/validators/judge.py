"""Judge JSON texts as a validator from PyPI does; judge.mjs says what is read and written."""

import json
import sys

import jsonschema
import jsonschema_rs

compilers = {
    "jsonschema": lambda schema: jsonschema.Draft202012Validator(schema).is_valid,
    "jsonschema-rs": lambda schema: jsonschema_rs.validator_for(schema).is_valid,
}
given = json.load(sys.stdin)
compiled = {name: compilers[sys.argv[1]](schema) for name, schema in given["schemas"].items()}


def judge(name, text):
    try:
        return compiled[name](json.loads(text))
    except ValueError:
        return None


json.dump([judge(*pair) for pair in given["texts"]], sys.stdout)
