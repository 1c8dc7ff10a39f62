#!/usr/bin/env bash
# The vendors' own APIs, once, in the open, without an account: the stand-in of both (tests/vendors), endpoints made by
# `endpoints apply`, signed webhooks that it sends to a gateway, some of them lost on purpose, `reconcile`, which names exactly those,
# and a rotation of a secret.
set -euo pipefail
cd "$(dirname "$0")/.."

EVENTS=${EVENTS:-10} # of each vendor
LOST=${LOST:-2}      # of each vendor, among them

. scripts/shown.sh
repository=$PWD
build
enter

say "Starting the stand-in of both vendors' APIs"
# It ends with its standard input, and so with this script.
coproc STAND_IN { exec python3 -B "$repository/tests/vendors/stand_in.py" 2> stand-in.log; }
read -r -t 30 line <&"${STAND_IN[0]}" || { cat stand-in.log; exit 1; }
stand_in=http://127.0.0.1:$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["port"])' "$line")
echo "$stand_in"

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
[reconcile]
# Whatever is not there now is missed.
grace = "0s"
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

start_gateway

# Events happen at a vendor now: vendor, type, sample, how many, whether their webhooks are lost, how their ids begin.
fire() {
  python3 - "$stand_in" "$@" <<'PYTHON'
import json, sys, time, urllib.request
stand_in, vendor, event, sample, count, lost, name = sys.argv[1:]
body = json.load(open(sample))
for number in range(int(count)):
    body["id"] = f"{name}_{number}"
    if vendor == "1099policy":
        # A certificate of its own for each.
        body["created"] = int(time.time())
        body["data"]["object"].update(id=f"cert_{name}_{number}", created=body["created"])
    fired = {"vendor": vendor, "event": event, "drop": lost == "lost", "body": body}
    urllib.request.urlopen(f"{stand_in}/control/fire", json.dumps(fired).encode(), timeout=10).read()
PYTHON
}
samples=$repository/src/vendors
flagged=$samples/policy1099/samples/nested/certificate.flagged.json
processed=$samples/audit1/samples/camel/file.processed.json
say "$EVENTS events at each vendor, $LOST of their webhooks lost on purpose"
fire 1099policy certificate.flagged "$flagged" $((EVENTS - LOST)) come evt_first
fire audit1 file.processed "$processed" $((EVENTS - LOST)) come evt_first
expected=$((2 * (EVENTS - LOST)))
timeout 30 "$hookbus" tail --json --from-start --count "$expected" > events.json
# What happened in the second of the bus's first event, or before it, nobody could know.
sleep 1
fire 1099policy certificate.flagged "$flagged" "$LOST" lost evt_lost
fire audit1 file.processed "$processed" "$LOST" lost evt_lost
echo "$((2 * EVENTS)) happened, $(wc -l < events.json) are on the bus"
[ "$(wc -l < events.json)" = "$expected" ]

say "hookbus endpoints deliveries --source payroll"
"$hookbus" endpoints deliveries --source payroll | tail -3

say "hookbus reconcile --once: exactly those"
"$hookbus" reconcile --once || [ $? = 2 ]
"$hookbus" reconcile --once --json > findings.json || [ $? = 2 ]
python3 - "$LOST" <<'PYTHON'
import collections, json, sys
lost = int(sys.argv[1])
found = [json.loads(line) for line in open("findings.json")]
kinds = collections.Counter(finding["kind"] for finding in found)
assert kinds == {"event_missed": lost, "delivery_failed": lost}, kinds
missed = {finding["subject"] for finding in found if finding["kind"] == "event_missed"}
assert missed == {f"cert_evt_lost_{number}" for number in range(lost)}, missed
PYTHON

say "hookbus endpoints rotate --source acme: another secret, and no webhook refused"
rotate() { timeout 60 "$hookbus" endpoints rotate --yes --source acme --metrics "http://127.0.0.1:$admin/metrics" --retries 0s "$@"; }
rotate || [ $? = 2 ]
loaded() { [[ $(curl -s "http://127.0.0.1:$admin/metrics") == *'hookbus_secret_reloads_total{result="ok",source="acme"} 1'* ]]; }
for _ in $(seq 200); do if loaded; then break; fi; sleep 0.1; done
fire 1099policy certificate.flagged "$flagged" 1 come evt_second
rotate --wait --every 100ms
timeout 30 "$hookbus" tail --json --from-start --count $((expected + 1)) > events.json
"$hookbus" endpoints plan

say "Signatures (one mismatch would be a refused webhook)"
curl -s "http://127.0.0.1:$admin/metrics" | grep -E '^hookbus_(signature_checks_total|secret_matches_total).* [1-9]'
! curl -s "http://127.0.0.1:$admin/metrics" | grep -E '^hookbus_signature_checks_total\{result="mismatch".* [1-9]'
