#!/usr/bin/env python3
"""Two folders of rendered manifests say the same: one was rendered by helm 3, the other by helm 4. Text may differ in blank lines."""

import pathlib
import sys

import yaml


def objects(file):
    found = [document for document in yaml.safe_load_all(file.read_text()) if document]
    return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))


def main(one, other):
    files = sorted(pathlib.Path(one).glob("*.yaml"))
    if not files or [file.name for file in files] != sorted(file.name for file in pathlib.Path(other).glob("*.yaml")):
        sys.exit(f"{one} and {other} do not hold the same files")
    for file in files:
        left, right = objects(file), objects(pathlib.Path(other) / file.name)
        if not left or left != right:
            sys.exit(f"{file.name}: helm 3 and helm 4 render different objects")
    print(f"{len(files)} feature files")


if __name__ == "__main__":
    main(*sys.argv[1:])
