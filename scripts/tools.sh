#!/usr/bin/env bash
# Brings the tools that the tests use into target/tools, from package registries; does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools
mkdir -p "$tools"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# What building needs, and what the tests call: the fault injector of the durability tests, certificates, npm.
scripts/packages.sh
missing=()
for command in strace openssl npm; do command -v "$command" >/dev/null || missing+=("$command"); done
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root apt-get install -qq -y "${missing[@]}" >/dev/null
fi

# The broker that the tests of the Kafka bus run against.
scripts/kafka.sh

# promtool checks the metrics; its package starts a service when installed, so it is only unpacked.
if [ ! -x "$tools/prometheus/usr/bin/promtool" ]; then
  (cd "$tools" && { apt-get download -qq prometheus 2>/dev/null || { as_root apt-get update -qq && apt-get download -qq prometheus; }; } \
    && dpkg -x prometheus_*.deb prometheus && rm prometheus_*.deb)
fi

# The CloudEvents SDKs of two other languages read what hookbus writes.
if [ ! -d "$tools/python/cloudevents" ]; then
  python3 -m pip install --quiet --no-warn-conflicts --root-user-action=ignore --target "$tools/python" 'cloudevents==2.2.0'
fi
if [ ! -d "$tools/node/node_modules/cloudevents" ]; then
  npm install --silent --no-fund --no-audit --prefix "$tools/node" cloudevents@10.0.0
fi

# The broker that the NATS tests start.
scripts/nats.sh

# The clients of subscribers: the examples run in the tests.
scripts/consumer-tools.sh
# Both helms, and what reads their output.
scripts/chart-tools.sh

# The proxies of the rolling-update test.
scripts/proxies.sh
# The browser that opens the console.
scripts/browser-tools.sh
# What builds, runs and checks deploy/.
scripts/image-tools.sh

# Licences, bans and sources of the dependencies. Built once, without the optimisation that a linter does not need.
if [ ! -x "$tools/cargo/bin/cargo-deny" ]; then
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --root "$tools/cargo" --target-dir "$tools/cargo-build" cargo-deny@0.20.2
  rm -rf "$tools/cargo-build"
fi
