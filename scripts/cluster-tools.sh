#!/usr/bin/env bash
# Builds the programs of `make cluster-test` into target/cluster/bin from their Go modules; does nothing when they are there.
#
# scripts/cluster/go.mod names them all, with their versions. They share nearly all their packages, so one command builds them: ten
# minutes on two cores from nothing. With the word `node` it builds what a real node runs too, for `make cluster`.
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=$PWD/target/cluster
module=scripts/cluster
mkdir -p "$cluster/bin"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
command -v go >/dev/null || missing+=(golang-go)
command -v openssl >/dev/null || missing+=(openssl)
python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml)
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root apt-get install -qq -y "${missing[@]}" >/dev/null
fi

# Something is there when it says that it was made from the same.
there() { [ "$(cat "$cluster/$1.made-from" 2>/dev/null)" = "$2" ]; }

# build NAME MODULE PACKAGE...: all in one command.
build() {
  local made_from version minor package said=
  made_from=$({ cat "$2/go.mod" "$2/go.sum"; echo "$@"; } | sha256sum)
  there "$1" "$made_from" && return
  echo "building the cluster's programs ($1): some minutes, once" >&2
  version=$(sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\)$|\1|p' $module/go.mod)
  minor=${version#v1.}
  # What the API server says of itself when helm asks.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    said+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
  done
  (cd "$2" && GOFLAGS=-mod=readonly nice go build -p 2 -ldflags "-s -w$said" -o "$cluster/bin/" "${@:3}")
  echo "$made_from" > "$cluster/$1.made-from"
}
kubernetes=k8s.io/kubernetes/cmd
build control $module $kubernetes/kube-apiserver $kubernetes/kube-controller-manager $kubernetes/kube-scheduler $kubernetes/kubectl \
  go.etcd.io/etcd/server/v3
# Go calls a program like its folder.
[ ! -e "$cluster/bin/server" ] || mv -f "$cluster/bin/server" "$cluster/bin/etcd"

# The custom resources that the chart makes, of the versions that its schemas are from.
version_of() { sed -n "s/^$1=//p" scripts/chart-tools.sh; }
custom="$(version_of operator) $(version_of gateway)"
if ! there crds "$custom"; then
  mkdir -p "$cluster/crds"
  # Outside any module, as these are data, not dependencies.
  folder() { (cd "$cluster" && GOFLAGS=-mod=mod go mod download -json "$1") | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'; }
  install -m 0644 -t "$cluster/crds" \
    "$(folder "$(version_of operator)")"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml \
    "$(folder "$(version_of gateway)")/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
  echo "$custom" > "$cluster/crds.made-from"
fi

[ "${1:-}" = node ] || exit 0
build node $module $kubernetes/kubelet $kubernetes/kube-proxy
# It enforces NetworkPolicies, and is built with the Kubernetes libraries of its own choice.
build router $module/router github.com/cloudnativelabs/kube-router/v2/cmd/kube-router

# What starts services when it is installed is only unpacked.
packages=(containerd nftables libnftables1 libjansson4 ipset libipset13 conntrack libnetfilter-conntrack3 libnfnetlink0)
if ! there debian "${packages[*]}"; then
  rm -rf "$cluster/debian" && mkdir -p "$cluster/debian"
  (cd "$cluster/debian" && { apt-get download -qq "${packages[@]}" 2>/dev/null || { as_root apt-get update -qq && apt-get download -qq "${packages[@]}"; }; } \
    && for package in *.deb; do dpkg -x "$package" . && rm "$package"; done)
  echo "${packages[*]}" > "$cluster/debian.made-from"
fi
missing=()
for need in iptables:iptables ip:iproute2 runc:runc gcc:gcc; do command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}"); done
[ -x /usr/lib/cni/ptp ] || missing+=(containernetworking-plugins)
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi
