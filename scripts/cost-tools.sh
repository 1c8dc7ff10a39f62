#!/usr/bin/env bash
# Installs what `make cost` counts with, where it is missing: valgrind and objdump (instructions), perf (system calls, wake-ups), ss (bytes on
# the wire).
set -euo pipefail

missing=()
for need in valgrind:valgrind perf:linux-perf ss:iproute2 objdump:binutils; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
as_root apt-get install -qq -y "${missing[@]}" >/dev/null
