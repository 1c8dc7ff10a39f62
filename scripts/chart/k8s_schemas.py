#!/usr/bin/env python3
"""Turns Kubernetes' OpenAPI document into strict JSON Schemas, one for each kind, under the names that kubeconform looks for."""

import json
import os
import sys

REFERENCE = "#/definitions/"


def strict(node):
    """A JSON Schema of the same shape that refuses fields it does not name, as an API server with strict validation does."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        return {"$ref": "_definitions.json" + node["$ref"]}
    if node.get("format") == "int-or-string":
        return {"type": ["string", "integer"]}
    # "description" and "default" may also be names of properties: those are objects.
    schema = {
        key: strict(value)
        for key, value in node.items()
        if key not in ("description", "default") or isinstance(value, dict)
    }
    if isinstance(schema.get("properties"), dict):
        schema.setdefault("additionalProperties", False)
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    return schema


def file_name(kind):
    group = kind["group"].split(".")[0]
    return "-".join(filter(None, [kind["kind"].lower(), group, kind["version"]])) + ".json"


def main(swagger, folder):
    with open(swagger, encoding="utf-8") as source:
        definitions = json.load(source)["definitions"]
    schemas = {name: strict(definition) for name, definition in definitions.items()}
    schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number", "null"]}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            if "kind" not in definition.get("properties", {}):
                continue
            schemas[name]["properties"]["kind"] = {"type": "string"}
            schemas[name]["properties"]["apiVersion"] = {"type": "string"}
            with open(os.path.join(folder, file_name(kind)), "w", encoding="utf-8") as target:
                json.dump({"$ref": "_definitions.json" + REFERENCE + name}, target)
    with open(os.path.join(folder, "_definitions.json"), "w", encoding="utf-8") as target:
        json.dump({"definitions": schemas}, target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
