#!/usr/bin/env bash
# The main job, once, in the open: a gateway on the embedded bus, one signed event of each vendor in, two CloudEvents out.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# The tests name the binary that they have built.
hookbus=${HOOKBUS_BINARY:-$PWD/target/debug/hookbus}
if [ -z "${HOOKBUS_BINARY:-}" ]; then
  scripts/packages.sh
  say "Building hookbus (the first time takes a few minutes)"
  cargo build --locked
fi

demo=$(mktemp -d)
gateway=
finish() {
  [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
  rm -rf "$demo"
}
trap finish EXIT
cd "$demo"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
admin=$(free_port)
secret() { printf 'whsec_%s' "$(head -c 24 /dev/urandom | base64 | tr -dc 'A-Za-z0-9')"; }
mkdir secrets
secret > secrets/1099policy
secret > secrets/audit1
cat > hookbus.toml <<TOML
[listener]
address = "127.0.0.1:$port"
drain_delay = "0s"
[admin]
address = "127.0.0.1:$admin"
[log]
format = "text"
[bus]
kind = "journal"
[journal]
directory = "hookbus-data"
[[sources]]
name = "acme"
vendor = "1099policy"
path = "/webhooks/1099policy"
tenant = "acme"
secret_files = ["secrets/1099policy"]
[[sources]]
name = "payroll"
vendor = "audit1"
path = "/webhooks/audit1"
secret_files = ["secrets/audit1"]
TOML

say "Starting the gateway on http://127.0.0.1:$port"
"$hookbus" serve 2> gateway.log &
gateway=$!
for _ in $(seq 100); do
  if curl -sf "http://127.0.0.1:$admin/readyz" >/dev/null; then break; fi
  kill -0 "$gateway" 2>/dev/null || { cat gateway.log; exit 1; }
  sleep 0.05
done

say "One signed webhook of each vendor"
"$hookbus" trigger 1099policy certificate.flagged
"$hookbus" trigger audit1 file.processed --form camel

say "What subscribers get (hookbus tail --json)"
"$hookbus" tail --json --from-start --count 2

say "An unsigned webhook"
curl -s -o /dev/null -w 'HTTP %{http_code}\n' -d '{"type":"policy.active"}' "http://127.0.0.1:$port/webhooks/1099policy"

say "Metrics"
curl -s "http://127.0.0.1:$admin/metrics" \
  | grep -E '^hookbus_(events_total|http_requests_total|signature_checks_total|journal_appends_total).* [1-9]'

say "Stopping (SIGTERM)"
kill -TERM "$gateway"
status=0
wait "$gateway" || status=$?
gateway=
cat gateway.log
echo "exit $status"
exit "$status"
