#!/usr/bin/env bash
# Builds nats-server into target/tools/bin, from the Go module proxy; does nothing when it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v2.15.2
bin=$PWD/target/tools/bin

if [ -x "$bin/nats-server" ] && "$bin/nats-server" --version | grep -q "$version\$"; then exit 0; fi
command -v go >/dev/null || {
  as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
  as_root apt-get update -qq
  as_root apt-get install -qq -y golang-go >/dev/null
}
mkdir -p "$bin"
GOBIN=$bin go install "github.com/nats-io/nats-server/v2@$version"
