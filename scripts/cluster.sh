#!/usr/bin/env bash
# Runs a command, or else a shell, in a real cluster of one node that lives as long as the command: scripts/cluster.sh [COMMAND...]
#
# The cluster has a network, mounts and processes of its own: whatever it starts, mounts and sets goes with it. Needs root. The
# gateway's image is made of HOOKBUS, or else of target/debug/hookbus, which it builds.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'scripts/cluster.sh: a kubelet needs root' >&2; exit 1; }
scripts/packages.sh
scripts/image-tools.sh
scripts/chart-tools.sh
scripts/nats.sh
scripts/cluster-tools.sh node
if [ -z "${HOOKBUS:-}" ]; then
  cargo build --locked
  export HOOKBUS=$PWD/target/debug/hookbus
fi

# Control groups are outside of the namespaces; only those that are empty by now can be removed.
groups() { find /sys/fs/cgroup/*/k8s.io -depth -type d -exec rmdir {} + 2>/dev/null || true; }
trap groups EXIT
# The shell is the first process there: with it all others end. The folders are those that a kubelet writes to by fixed names.
unshare --net --mount --pid --fork --kill-child --mount-proc bash -euc '
  for folder in /run /var/log /var/lib/cni /var/lib/kubelet; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done
  mkdir /run/netns /run/lock /var/log/containers /var/log/pods
  python3 tests/cluster/node_for.py "$@" && exit 0 || exit $?' cluster "$@"
