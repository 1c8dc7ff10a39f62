#!/usr/bin/env python3
"""The long form of the cluster's tests, in a cluster that runs (scripts/cluster.sh): the image in real pods, events through a real
Service to a real broker. Prints a table; words on the command line choose rows. Exit 1 when one row is not as promised."""

import os
import pathlib
import sys
import time
import traceback

import outages
import rollings
from control import Control, Failed


def tried(control, name, scenario):
    begin = time.monotonic()
    try:
        result, passed = scenario(control), True
    except Exception as problem:
        result, passed = f"FAILED: {problem if isinstance(problem, Failed) else traceback.format_exc()}", False
        (control.folder / "failed.txt").write_text(control.kubectl("get", "pods,events,pvc", "--all-namespaces", "--output=wide").stdout)
    # The node is small: each scenario has it to itself.
    control.kubectl("delete", "namespace", "--selector=pod-security.kubernetes.io/enforce=restricted")
    shown = result if not passed else result.replace("\n", " ")
    print(f"| {name} | {shown} | {time.monotonic() - begin:.0f} s |", flush=True)
    return passed


def main(words):
    control = Control(pathlib.Path(os.environ["KUBECONFIG"]).parent)
    scenarios = {name: scenario for name, scenario in (rollings.every() | outages.every()).items() if not words or any(word in name for word in words)}
    print("| what | result | took |\n|---|---|---|", flush=True)
    passed = [tried(control, name, scenario) for name, scenario in scenarios.items()]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(0 if passed and all(passed) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
