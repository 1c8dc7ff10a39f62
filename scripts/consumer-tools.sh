#!/usr/bin/env bash
# Brings what the subscribers' side of the tests needs into target/tools: the clients that the examples under
# examples/consumers use, in the versions that the examples name, a JSON Schema validator and the AsyncAPI parser.
# Does nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools
consumers=$tools/consumers
examples=$PWD/examples/consumers
mkdir -p "$consumers/node"

# $1: a file that says what is wanted; $2: where it is remembered what was installed.
is_done() { [ -e "$2" ] && cmp -s "$1" "$2"; }

wanted=$(mktemp)
trap 'rm -f "$wanted"' EXIT
{ cat "$examples/python/requirements.txt"; echo 'jsonschema==4.26.0'; } > "$wanted"
if ! is_done "$wanted" "$consumers/python/installed.txt"; then
  rm -rf "$consumers/python"
  python3 -m pip install --quiet --no-warn-conflicts --root-user-action=ignore --target "$consumers/python" -r "$wanted"
  cp "$wanted" "$consumers/python/installed.txt"
fi

if ! is_done "$examples/node/package.json" "$consumers/node/node_modules/installed.json"; then
  cp "$examples/node/package.json" "$consumers/node/"
  npm install --silent --no-fund --no-audit --no-package-lock --prefix "$consumers/node"
  cp "$examples/node/package.json" "$consumers/node/node_modules/installed.json"
fi

if [ ! -d "$tools/asyncapi/node_modules/@asyncapi/parser" ]; then
  npm install --silent --no-fund --no-audit --no-package-lock --prefix "$tools/asyncapi" @asyncapi/parser@3.6.3
fi

# What the handlers of tests/sdk are written with, as in the vendors' documents.
handlers=$tools/handlers
if [ ! -e "$handlers/installed" ]; then
  rm -rf "$handlers"
  python3 -m pip install --quiet --no-warn-conflicts --root-user-action=ignore --target "$handlers/python" flask==3.1.3
  npm install --silent --no-fund --no-audit --no-package-lock --prefix "$handlers/node" express@5.2.1
  touch "$handlers/installed"
fi

# Go looks by itself whether anything has changed.
(cd "$examples/go" && go build -o "$consumers/go/" ./nats ./kafka)
