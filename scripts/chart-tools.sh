#!/usr/bin/env bash
# Brings what the chart's tests use into target/tools/chart, from the Go module proxy: helm 3 and 4, helm-unittest, kubeconform,
# helm-docs, and the schemas of Kubernetes and of the custom resources that the chart makes. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools/chart
mkdir -p "$tools"

# Versions stand here only. helm-unittest 1.0.1 is missing in Go's checksum database; gateway-api 1.7 wants a newer Go.
helm3=helm.sh/helm/v3/cmd/helm@v3.22.0
helm4=helm.sh/helm/v4/cmd/helm@v4.3.1
unittest=github.com/helm-unittest/helm-unittest/cmd/helm-unittest@v1.0.0
kubeconform=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
docs=github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
kubernetes=k8s.io/kubernetes@v1.37.2
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
gateway=sigs.k8s.io/gateway-api@v1.6.3

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
command -v go >/dev/null || missing+=(golang-go)
command -v bwrap >/dev/null || missing+=(bubblewrap)
python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml)
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root apt-get install -qq -y "${missing[@]}" >/dev/null
fi

# A folder is done when it names what it was made from; a new version above is fetched anew.
done_with() { [ "$(cat "$tools/$1/made-from" 2>/dev/null)" = "$2" ]; }

# Builds one command into a folder of its own, because two of them are called helm; -p 2 keeps a small machine usable.
command_of() {
  done_with "$1" "$2" && return
  echo "building $2" >&2
  GOBIN=$tools/$1 go install -p 2 -ldflags '-s -w' "$2"
  echo "$2" > "$tools/$1/made-from"
}
command_of kubeconform "$kubeconform"
command_of helm-docs "$docs"
command_of helm4 "$helm4"
command_of helm3 "$helm3"
command_of helm-unittest "$unittest"

made_from="$kubernetes $operator $gateway $kubeconform"
if ! done_with schemas "$made_from"; then
  rm -rf "$tools/schemas"
  mkdir -p "$tools/schemas"
  # Outside any module, as these are data, not dependencies.
  module() { (cd "$tools" && GOFLAGS=-mod=mod go mod download -json "$1") | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'; }
  python3 scripts/chart/k8s_schemas.py "$(module "$kubernetes")/api/openapi-spec/swagger.json" "$tools/schemas"
  converter=$(module "${kubeconform/\/cmd\/kubeconform/}")/scripts/openapi2jsonschema.py
  custom=(
    "$(module "$gateway")/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    "$(module "$operator")"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml
  )
  (cd "$tools/schemas" && FILENAME_FORMAT='{kind}-{group}-{version}' python3 "$converter" "${custom[@]}" >/dev/null)
  echo "$made_from" > "$tools/schemas/made-from"
fi
