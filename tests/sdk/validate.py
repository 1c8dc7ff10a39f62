"""Holds JSON values against JSON Schemas: one JSON object a line in, the list of what is wrong a line out.

Each line names a schema, `file` or `file#/pointer/into/it`, and an instance.
"""

import functools
import json
import sys

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

# A name for whatever file is being read; nothing is ever fetched.
DOCUMENT = "https://schemas.invalid/document"


@functools.cache
def validator(name):
    file, _, pointer = name.partition("#")
    with open(file, encoding="utf-8") as text:
        document = Resource(contents=json.load(text), specification=DRAFT202012)
    registry = Registry().with_resource(DOCUMENT, document).crawl()
    return Draft202012Validator({"$ref": f"{DOCUMENT}#{pointer}"}, registry=registry)


for line in sys.stdin:
    given = json.loads(line)
    errors = validator(given["schema"]).iter_errors(given["instance"])
    print(json.dumps([f"{error.json_path}: {error.message}"[:500] for error in errors]))
