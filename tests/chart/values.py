#!/usr/bin/env python3
"""values.yaml, values.schema.json and README.md name the same values, each with a description, and a name that is in none of them is
refused by helm at every level."""

import json
import pathlib
import re
import subprocess
import sys

import yaml

# Helm's own, for a chart that another one depends on.
NOT_OURS = {"global"}


def resolve(schema, node):
    return schema["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def objects(schema, node, path=()):
    """Every object with names of its own, as (path, schema); lists stand as an index."""
    node = resolve(schema, node)
    if "properties" in node and node.get("additionalProperties") is False:
        yield path, node
        for name, child in node["properties"].items():
            yield from objects(schema, child, (*path, name))
    elif node.get("type") == "array":
        yield from objects(schema, node["items"], (*path, 0))
    elif isinstance(node.get("additionalProperties"), dict) and path:
        yield from objects(schema, node["additionalProperties"], (*path, "some"))


def named(schema, values):
    """Names that only one of schema and values.yaml has."""
    for path, node in objects(schema, schema):
        if 0 in path or "some" in path:
            continue
        there = values
        for name in path:
            there = there[name]
        ours = set(node["properties"]) - NOT_OURS
        # The parts of a probe that have Kubernetes' own default are not in values.yaml.
        is_probe = path and path[-1].endswith("Probe")
        for name in sorted(set(there) - ours | (set() if is_probe else ours - set(there))):
            yield f"{'.'.join((*path, name))} is in only one of values.yaml and values.schema.json"


def described(readme):
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (?:[^|]|\\\|)+ \| (.*) \|$", readme, re.MULTILINE)
    if len(rows) < 50:
        yield f"README.md has {len(rows)} values"
    for name, text in rows:
        if not text.strip():
            yield f"{name} has no description"


def closed(helm, chart, schema):
    """Where helm takes a name that is none."""
    good = chart / "ci" / "nats-values.yaml"
    for path, _ in objects(schema, schema):
        words = "".join(f"[{name}]" if name == 0 else f".{name}" for name in (*path, "surprise")).lstrip(".")
        command = [helm, "template", "x", chart, "--kube-version", "1.37", "--values", good, "--set", f"{words}=1"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0 or "additional properties 'surprise' not allowed" not in done.stderr:
            yield f"{words} is not refused for what it is: {done.stderr.strip()}"


def main(chart, *helms):
    chart = pathlib.Path(chart)
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    problems = [*named(schema, values), *described((chart / "README.md").read_text())]
    for helm in helms:
        problems += closed(helm, chart, schema)
    if problems:
        sys.exit("\n".join(problems))
    print(f"{sum(1 for _ in objects(schema, schema))} closed objects")


if __name__ == "__main__":
    main(*sys.argv[1:])
