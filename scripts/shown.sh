#!/usr/bin/env bash
# For the scripts that show hookbus in the open; they source it. A folder and ports of their own, and a gateway that ends with them.

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# Sets hookbus. The tests name the binary that they have built.
build() {
  hookbus=${HOOKBUS_BINARY:-$PWD/target/debug/hookbus}
  [ -z "${HOOKBUS_BINARY:-}" ] || return 0
  scripts/packages.sh
  say "Building hookbus (the first time takes a few minutes)"
  cargo build --locked
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

work=$(mktemp -d)
gateway=
finish() {
  [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# Goes to the folder; sets port and admin.
enter() {
  cd "$work" || exit
  port=$(free_port)
  admin=$(free_port)
}

# Serves what hookbus.toml says, and waits until it is ready.
start_gateway() {
  say "Starting the gateway on http://127.0.0.1:$port"
  "$hookbus" serve 2> gateway.log &
  gateway=$!
  for _ in $(seq 100); do
    if curl -sf "http://127.0.0.1:$admin/readyz" >/dev/null; then break; fi
    kill -0 "$gateway" 2>/dev/null || { cat gateway.log; exit 1; }
    sleep 0.05
  done
}
