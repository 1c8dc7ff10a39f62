#!/usr/bin/env bash
# Installs the system packages that building hookbus needs and that are not there: a C compiler, and the libraries that the
# Kafka client links. Does nothing, and asks for no permissions, when all are there.
set -euo pipefail

missing=()
for need in cc:gcc make:make pkg-config:pkg-config curl:curl python3:python3-pip; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
for library in openssl:libssl-dev zlib:zlib1g-dev; do
  pkg-config --exists "${library%%:*}" 2>/dev/null || missing+=("${library##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
as_root apt-get install -qq -y "${missing[@]}" >/dev/null
