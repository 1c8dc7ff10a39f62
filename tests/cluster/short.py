#!/usr/bin/env python3
"""The short form of the cluster's tests: every scenario against one control plane, a few at a time. Words on the command line choose
the scenarios whose names contain one of them."""

import concurrent.futures
import sys
import time
import traceback

import changes
import left_behind
import lives
import pages
from control import ROOT, Control, Failed

AT_ONCE = 4


def tried(control, name, scenario):
    begin = time.monotonic()
    try:
        scenario(control)
        problem = None
    except Failed as failure:
        problem = str(failure)
    except Exception:
        problem = traceback.format_exc()
    print(f"{name:34} {time.monotonic() - begin:5.1f} s{'  FAILED' if problem else ''}", flush=True)
    return f"{name}: {problem}" if problem else None


def main(words):
    scenarios = {name: scenario for name, scenario in (changes.every() | left_behind.every() | pages.every() | lives.every()).items() if not words or any(word in name for word in words)}
    begin = time.monotonic()
    with Control(ROOT / "target/cluster/short") as control:
        print(f"{'control plane':34} {time.monotonic() - begin:5.1f} s", flush=True)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
            problems = [each for each in threads.map(lambda item: tried(control, *item), scenarios.items()) if each]
    print("\n".join(problems), file=sys.stderr)
    print(f"{len(scenarios) - len(problems)} passed, {len(problems)} failed")
    sys.exit(1 if problems or not scenarios else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
