#!/usr/bin/env python3
"""No guard without a test: takes each line that a guard can say out of a copy of the chart, and wants the suite of guards to fail."""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# The suite runs in a whole chart, and with configurations that fit on a page, so these guards are tried apart.
APART = ("take the whole chart", "with both of them disabled")


def suite(unittest, chart):
    done = subprocess.run([unittest, "--file", "tests/guards_test.yaml", "--file", "tests/live_test.yaml", chart], capture_output=True, text=True)
    # Both, so that a suite that cannot be read is not taken for one that noticed.
    return done.returncode == 0, re.search(r"^Tests: .*\b[1-9]\d* passed", done.stdout, re.MULTILINE) is not None


def without(unittest, chart, file, lines, number):
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "hookbus"
        shutil.copytree(chart, copy)
        (copy / "templates" / file).write_text("\n".join(lines[:number] + lines[number + 1 :]))
        passed, ran = suite(unittest, copy)
        if passed or not ran:
            return f"{'no test notices that this is gone' if passed else 'the suite did not run without this'}: {lines[number]}"
    return None


def incomplete(helm, chart):
    """What a copy of the chart without its rules and its dashboard is not told."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "hookbus"
        shutil.copytree(chart, copy, ignore=shutil.ignore_patterns("files"))
        command = [helm, "template", "x", copy, "--kube-version", "1.37", "--values", copy / "ci/monitoring-values.yaml"]
        done = subprocess.run(command, capture_output=True, text=True)
        told = [f"{value}.enabled: files/" for value in ("prometheusRule", "dashboard")]
        return [f"not said of an incomplete chart: {text}" for text in told if done.returncode == 0 or text not in done.stderr]


def too_long(helm, chart):
    """Whether a configuration that no annotation takes is let through to a Job."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write("# " + "x" * 200_000 + "\n")
        config.flush()
        command = [helm, "template", "x", chart, "--kube-version", "1.37", "--values", pathlib.Path(chart) / "ci/provision-values.yaml"]
        done = subprocess.run([*command, "--set-file", f"provision.config={config.name}"], capture_output=True, text=True)
    return [] if "- config: is longer than 200,000 bytes" in done.stderr else [f"a long configuration is let through: {done.stderr}"]


def main(unittest, helm, chart):
    said = []
    for file in sorted((pathlib.Path(chart) / "templates").glob("_guards*.tpl")):
        lines = file.read_text().splitlines()
        said += [(file.name, lines, number) for number, line in enumerate(lines) if line.startswith("- ") and not line.endswith(APART)]
    if suite(unittest, chart) != (True, True) or len(said) < 20:
        sys.exit(f"the suite does not pass as it is, or {len(said)} guards are too few to be all")
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        found = threads.map(lambda one: without(unittest, chart, *one), said)
        problems = [problem for problem in found if problem] + incomplete(helm, chart) + too_long(helm, chart)
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(said)} guards, each missed by a test when taken away")


if __name__ == "__main__":
    main(*sys.argv[1:])
