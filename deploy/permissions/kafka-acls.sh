#!/usr/bin/env bash
# Grants the least that each command of hookbus needs of Kafka, on all topics below a prefix:
#
#   kafka-acls.sh BOOTSTRAP [OPTION…]       options go to Kafka's own kafka-acls.sh, such as --command-config admin.properties
#
# Principals: HOOKBUS_SERVE, HOOKBUS_PROVISION, HOOKBUS_TAIL, HOOKBUS_REPLAY, HOOKBUS_RECONCILE; prefix: HOOKBUS_PREFIX; tool:
# KAFKA_ACLS. What is granted already is granted again without effect. Another `bus.subject` asks for one more run with its prefix: the
# catch-all and quarantine are always below `webhooks.`.
set -euo pipefail
bootstrap=$1
shift
prefix=${HOOKBUS_PREFIX:-webhooks.}

options=("$@")

grant() { "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "$bootstrap" "${options[@]}" --add "$@"; }

# On all topics below the prefix: a principal, and what it may do.
allow() {
  local principal=$1 operations=() operation
  shift
  for operation in "$@"; do operations+=(--operation "$operation"); done
  grant --allow-principal "$principal" "${operations[@]}" --topic "$prefix" --resource-pattern-type prefixed
}

# Publishes, idempotently (Kafka 3.0 and later ask for no more than Write), sees which topics exist, and reads their
# settings to say what an acknowledgement is worth. It can make and read nothing. `check --connect`, `replay dead-letters`
# and `replay journal` need no more: the latter two read the disk.
allow "${HOOKBUS_SERVE:-User:hookbus}" Write Describe DescribeConfigs

# Sees which topics exist and makes those that do not. It can write and read no event, and change or delete no topic.
allow "${HOOKBUS_PROVISION:-User:hookbus-provision}" Create Describe

# Reads, in no group, committing nothing. Subscribers with a group need Read on that group, too.
allow "${HOOKBUS_TAIL:-User:hookbus-tail}" Read Describe

# `replay quarantine`: reads what lies in quarantine, in no group, and publishes what can be read today. It can read no other
# event, and make or delete nothing.
replay=${HOOKBUS_REPLAY:-User:hookbus-replay}
allow "$replay" Write Describe
grant --allow-principal "$replay" --operation Read --topic webhooks.1099policy.quarantine --topic webhooks.audit1.quarantine

# `reconcile`: reads what lies there, in no group and in a group `hookbus-details-<source>` for each source with `follow_up`, and
# publishes events of hookbus's own. It can write no vendor's event.
reconcile=${HOOKBUS_RECONCILE:-User:hookbus-reconcile}
allow "$reconcile" Read Describe DescribeConfigs
grant --allow-principal "$reconcile" --operation Write --topic webhooks.hookbus. --resource-pattern-type prefixed
grant --allow-principal "$reconcile" --operation Read --group hookbus-details- --resource-pattern-type prefixed
