#!/usr/bin/env bash
# The vendors' own APIs, once, in the open, without an account: the stand-in of both (tests/vendors), endpoints made by
# `endpoints apply`, signed webhooks that it sends to a gateway, some of them lost on purpose, and a rotation of a secret.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

EVENTS=${EVENTS:-10} # of each vendor
LOST=${LOST:-2}      # of each vendor, among them

scripts/packages.sh
say "Building hookbus (the first time takes a few minutes)"
cargo build --locked
hookbus=$PWD/target/debug/hookbus
repository=$PWD

work=$(mktemp -d)
gateway=
finish() {
  [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
cd "$work"

say "Starting the stand-in of both vendors' APIs"
# It ends with its standard input, and so with this script.
coproc STAND_IN { exec python3 -B "$repository/tests/vendors/stand_in.py" 2> stand-in.log; }
read -r -t 30 line <&"${STAND_IN[0]}" || { cat stand-in.log; exit 1; }
stand_in=http://127.0.0.1:$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["port"])' "$line")
echo "$stand_in"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
admin=$(free_port)
mkdir secrets
printf key-of-the-stand-in > secrets/api-key
printf client-of-the-stand-in > secrets/api-client
# What is asked of one source: name, vendor, and its own keys of [sources.api].
source_of() {
  cat <<TOML
[[sources]]
name = "$1"
vendor = "$2"
path = "/webhooks/$2"
# The second one is for a rotation.
secret_files = ["secrets/$2", "secrets/$2-next"]
[sources.api]
key_file = "secrets/api-key"
base_url = "$stand_in/$2/api/v1"
endpoint_url = "http://127.0.0.1:$port/webhooks/$2"
$3
TOML
}
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
$(source_of acme 1099policy '')
$(source_of payroll audit1 'client_id_file = "secrets/api-client"')
TOML

say "hookbus endpoints plan"
"$hookbus" endpoints plan || [ $? = 2 ]
say "hookbus endpoints apply"
"$hookbus" endpoints apply --yes

say "Starting the gateway on http://127.0.0.1:$port"
"$hookbus" serve 2> gateway.log &
gateway=$!
for _ in $(seq 100); do
  if curl -sf "http://127.0.0.1:$admin/readyz" >/dev/null; then break; fi
  kill -0 "$gateway" 2>/dev/null || { cat gateway.log; exit 1; }
  sleep 0.05
done

# Events happen at a vendor: vendor, type, sample, how many, how many of their webhooks are lost, how their ids begin.
fire() {
  python3 - "$stand_in" "$@" <<'PYTHON'
import json, sys, urllib.request
stand_in, vendor, event, sample, count, lost, name = sys.argv[1:]
body = json.load(open(sample))
for number in range(int(count)):
    fired = {"vendor": vendor, "event": event, "drop": number < int(lost), "body": {**body, "id": f"{name}_{number}"}}
    urllib.request.urlopen(f"{stand_in}/control/fire", json.dumps(fired).encode(), timeout=10).read()
PYTHON
}
samples=$repository/src/vendors
flagged=$samples/policy1099/samples/nested/certificate.flagged.json
processed=$samples/audit1/samples/camel/file.processed.json
say "$EVENTS events at each vendor, $LOST of their webhooks lost on purpose"
fire 1099policy certificate.flagged "$flagged" "$EVENTS" "$LOST" evt_first
fire audit1 file.processed "$processed" "$EVENTS" "$LOST" evt_first
expected=$((2 * (EVENTS - LOST)))
timeout 30 "$hookbus" tail --json --from-start --count "$expected" > events.json
echo "$((2 * EVENTS)) happened, $(wc -l < events.json) are on the bus"
[ "$(wc -l < events.json)" = "$expected" ]

say "hookbus endpoints deliveries --source payroll"
"$hookbus" endpoints deliveries --source payroll | tail -3

say "hookbus endpoints rotate --source acme: another secret, and no webhook refused"
rotate() { timeout 60 "$hookbus" endpoints rotate --yes --source acme --metrics "http://127.0.0.1:$admin/metrics" --retries 0s "$@"; }
rotate || [ $? = 2 ]
loaded() { [[ $(curl -s "http://127.0.0.1:$admin/metrics") == *'hookbus_secret_reloads_total{result="ok",source="acme"} 1'* ]]; }
for _ in $(seq 200); do if loaded; then break; fi; sleep 0.1; done
fire 1099policy certificate.flagged "$flagged" 1 0 evt_second
rotate --wait --every 100ms
timeout 30 "$hookbus" tail --json --from-start --count $((expected + 1)) > events.json
"$hookbus" endpoints plan

say "Signatures (one mismatch would be a refused webhook)"
curl -s "http://127.0.0.1:$admin/metrics" | grep -E '^hookbus_(signature_checks_total|secret_matches_total).* [1-9]'
! curl -s "http://127.0.0.1:$admin/metrics" | grep -E '^hookbus_signature_checks_total\{result="mismatch".* [1-9]'
