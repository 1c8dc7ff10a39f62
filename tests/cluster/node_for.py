#!/usr/bin/env python3
"""Starts the cluster of node.py, runs the command of the command line (or a shell) with KUBECONFIG and PATH set for it, and ends with it.
Called by scripts/cluster.sh, in namespaces."""

import os
import subprocess
import sys
import time

from control import ROOT
from node import Cluster

FOLDER = ROOT / "target/cluster/node"


def main(command):
    begin = time.monotonic()
    with Cluster(FOLDER, os.environ["HOOKBUS"]) as cluster:
        print(f"the node is ready after {time.monotonic() - begin:.0f} s; logs are in {FOLDER}", flush=True)
        return subprocess.run(command or ["bash"], env=cluster.environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
