#!/usr/bin/env bash
# The main job, once, in the open: a gateway on the embedded bus, one signed event of each vendor in, two CloudEvents out.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/shown.sh
build
enter
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

start_gateway

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
