#!/usr/bin/env bash
# Brings Apache Kafka from Maven Central into target/tools/kafka, for the tests; does nothing when it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
kafka=$PWD/target/tools/kafka
[ -e "$kafka/ready" ] && exit 0

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
command -v java >/dev/null || missing+=(default-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# A repository of its own: nothing is left in the home directory, and it goes when the jars are there.
mkdir -p "$kafka"
mvn -B -q -f scripts/kafka/pom.xml -Dmaven.repo.local="$kafka/m2" dependency:copy-dependencies -DoutputDirectory="$kafka/lib"
rm -rf "$kafka/m2"
touch "$kafka/ready"
