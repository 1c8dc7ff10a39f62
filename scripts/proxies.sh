#!/usr/bin/env bash
# Unpacks the two proxies that the rolling-update test puts in front of the gateway, HAProxy and nginx, into
# target/tools/proxies; does nothing when they are there. Their Debian packages start services when installed, so they
# are only unpacked, together with the libraries of theirs that this machine has not.
set -euo pipefail
cd "$(dirname "$0")/.."
proxies=$PWD/target/tools/proxies

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
libraries() { LD_LIBRARY_PATH=$(echo "$proxies"/usr/lib/*-linux-gnu) "$@"; }
runs() { libraries "$proxies/usr/sbin/haproxy" -v >/dev/null 2>&1 && libraries "$proxies/usr/sbin/nginx" -v 2>/dev/null; }

if runs; then exit 0; fi
# Without the lists of packages there is nothing to choose from.
apt-cache show haproxy nginx >/dev/null 2>&1 || as_root apt-get update -qq
packages=(haproxy nginx)
while read -r library; do
  dpkg -s "$library" >/dev/null 2>&1 || packages+=("$library")
done < <(apt-cache depends --recurse --important haproxy nginx | grep '^lib' | sort -u)

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
(cd "$unpacked" && { apt-get download -qq "${packages[@]}" 2>/dev/null || { as_root apt-get update -qq && apt-get download -qq "${packages[@]}"; }; })
mkdir -p "$proxies"
for package in "$unpacked"/*.deb; do dpkg -x "$package" "$proxies"; done
runs || { echo "the unpacked proxies do not run" >&2; exit 1; }
