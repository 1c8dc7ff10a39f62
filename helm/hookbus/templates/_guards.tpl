{{/*
What would be refused, lose events or stay unnoticed later is refused here, all of it at once. Each line names the value, says
what would happen, and what to do. A guard that only weighs a risk can be waived by its word in `waive`.
*/}}

{{- define "hookbus.guards" -}}
{{- $facts := include "hookbus.facts" (include "hookbus.config" .) | fromJson -}}
{{- $arguments := dict "root" . "facts" $facts -}}
{{- $problems := "" -}}
{{- /* The other guards look into the configuration: without one they would only make noise. */ -}}
{{- $readable := and (trim (include "hookbus.config" .)) (not $facts.error) -}}
{{- range ternary (list "config" "files" "spool" "live" "drain" "shutdown" "pods" "exposure" "service" "jobs" "reconcile" "alerts" "complete") (list "config") (not (empty $readable)) -}}
{{- $problems = printf "%s%s" $problems (include (printf "hookbus.guards.%s" .) $arguments) -}}
{{- end -}}
{{- if trim $problems -}}
{{- fail (printf "\n\nThis would not work, or would lose events:\n%s\n" (regexReplaceAll "\n\\s*\n" (trim $problems) "\n")) -}}
{{- end -}}
{{- end -}}

{{- define "hookbus.guards.config" -}}
{{- $facts := .facts -}}
{{- $values := .root.Values -}}
{{- $existing := include "hookbus.existingConfig" .root -}}
{{- if and $existing (trim $values.config) (ne $existing $values.config) }}
- config: differs from hookbus.toml in ConfigMap {{ $values.existingConfigMap }}, which the pods read; take one of them out, or make them the same
{{- end }}
{{- if and $values.existingConfigMap (not $existing) (not (trim $values.config)) }}
- existingConfigMap: there is no ConfigMap {{ $values.existingConfigMap }} with a key hookbus.toml in namespace {{ include "hookbus.namespace" .root }}; make it first, or, where the chart is only rendered and cannot look, put the same text into config
{{- else if not (trim (include "hookbus.config" .root)) }}
- config: is required; put the text of your hookbus.toml there (--set-file config=hookbus.toml), every key is in config.example.toml
{{- else if $facts.error }}
- config: is not TOML: {{ $facts.error }}
{{- else }}
{{- range without $facts.owned "reconcile.address" }}
- config: remove {{ . }}, which the chart sets: a pod's listeners and volume are its business (see bindAddress and persistence)
{{- end }}
{{- range $facts.unread }}
- config: {{ . }} is no quantity with a unit, such as "20s" or "10GiB"
{{- end }}
{{- if not (has $facts.kind (list "nats" "kafka" "journal")) }}
- config: bus.kind must be "nats", "kafka" or "journal"
{{- end }}
{{- if and (eq $facts.kind "nats") (not $facts.ports) }}
- config: bus.nats.servers is required here, as its default is this pod itself
{{- end }}
{{- if not $facts.sources }}
- config: has no source; add a [[sources]] table for each account at a vendor
{{- end }}
{{- end }}
{{- $read := list "RECONCILE__ADDRESS" "LISTENER__ADDRESS" "LISTENER__DRAIN_DELAY" "LISTENER__DRAIN_DEADLINE" "LISTENER__MAX_INFLIGHT" "LISTENER__WORKERS" "ADMIN__ADDRESS"
  "BUS__KIND" "JOURNAL__DIRECTORY" "JOURNAL__SPOOL" "JOURNAL__MAX_SIZE" "JOURNAL__SEGMENT_SIZE" "JOURNAL__RESERVE"
  "BUS__NATS__SERVERS" "BUS__KAFKA__BROKERS" }}
{{- range .root.Values.extraEnv }}
{{- if or (has (trimPrefix "HOOKBUS__" .name) $read) (eq .name "HOOKBUS_CONFIG") (regexMatch "^HOOKBUS__BUS__.*_FILE$" .name) }}
- extraEnv: remove {{ .name }}: the chart reads or sets this key itself and would not see the variable; write it into config
{{- end }}
{{- end }}
{{- if not .root.Values.image.repository }}
- image.repository: is required; set it to where you pushed the image that deploy/Dockerfile makes
{{- end }}
{{- end -}}

{{/* Every file that a configuration names lies in something that is mounted, and everything that is mounted is named. */}}
{{- define "hookbus.guards.files" -}}
{{- $values := .root.Values -}}
{{- $named := list -}}
{{- range .facts.sources -}}
{{- $source := .name -}}
{{- range .files }}{{ $named = append $named (dict "key" (printf "secret_files of source %s" $source) "path" (toString .)) }}{{ end -}}
{{- end -}}
{{- $named = concat $named .facts.files -}}
{{- include "hookbus.guards.mounted" (dict "root" .root "named" $named "value" "config"
  "broker" $values.broker.existingSecret "brokerTls" $values.broker.tlsSecret) -}}
{{- range $source, $_ := $values.sources }}
{{- $used := false }}
{{- range $named }}{{ if hasPrefix (printf "/etc/hookbus/sources/%s/" $source) .path }}{{ $used = true }}{{ end }}{{ end }}
{{- if not $used }}
- sources.{{ $source }}: config names no file below /etc/hookbus/sources/{{ $source }}/; correct the name, or list the file in secret_files
{{- end }}
{{- end }}
{{- end -}}

{{/* In: root, value (of the chart), named (key, path), broker, brokerTls, reconcile (whether it is mounted in its pods). */}}
{{- define "hookbus.guards.mounted" -}}
{{- $directories := list -}}
{{- $vendors := include "hookbus.vendorSecrets" . | fromJson -}}
{{- $secrets := printf "%s%s" (ternary "reconcile." "" (not (empty .reconcile))) $vendors.directory -}}
{{- range $source, $_ := $vendors.of }}{{ $directories = append $directories (printf "/etc/hookbus/%s/%s" $vendors.directory $source) }}{{ end -}}
{{- if .broker }}{{ $directories = append $directories "/etc/hookbus/broker" }}{{ end -}}
{{- if .brokerTls }}{{ $directories = append $directories "/etc/hookbus/broker-tls" }}{{ end -}}
{{- range .root.Values.extraVolumeMounts }}{{ $directories = append $directories .mountPath }}{{ end -}}
{{- $value := .value -}}
{{- range .named }}
{{- $path := .path }}
{{- $mounted := false }}
{{- range $directories }}{{ if or (eq . $path) (hasPrefix (printf "%s/" (trimSuffix "/" .)) $path) }}{{ $mounted = true }}{{ end }}{{ end }}
{{- if not (hasPrefix "/" $path) }}
- {{ $value }}: {{ .key }} must be an absolute path, such as /etc/hookbus/{{ $vendors.directory }}/SOURCE/KEY-OF-THE-SECRET
{{- else if not $mounted }}
- {{ $value }}: {{ .key }} is in no mounted directory, so no pod would start: mount a Secret there with {{ $secrets }}.NAME.existingSecret (/etc/hookbus/{{ $vendors.directory }}/NAME/), broker.existingSecret (/etc/hookbus/broker/), broker.tlsSecret (/etc/hookbus/broker-tls/) or extraVolumeMounts
{{- end }}
{{- end }}
{{- end -}}

{{/* Events that were answered 200 lie on a replica's disk. */}}
{{- define "hookbus.guards.spool" -}}
{{- $values := .root.Values -}}
{{- $facts := .facts -}}
{{- if and $facts.local $values.autoscaling.enabled (not (has "spool_autoscaling" $values.waive)) }}
- autoscaling.enabled: each scale-down would strand acknowledged events in a replica's spool; write spool = "off" under [journal] in config, or replicaCount instead, or accept it with waive: [spool_autoscaling]
{{- end }}
{{- if and $facts.local (not $values.persistence.enabled) (not (has "ephemeral_spool" $values.waive)) }}
- persistence.enabled: without a volume, acknowledged events die with their pod; enable it, or write spool = "off" under [journal] in config, or accept it with waive: [ephemeral_spool]
{{- end }}
{{- if and (eq $facts.kind "journal") (or $values.autoscaling.enabled (gt (int $values.replicaCount) 1)) }}
- replicaCount: with bus.kind = "journal" each replica would be a bus of its own with a part of the events; set it to 1 (and autoscaling off), or use NATS or Kafka
{{- end }}
{{- /* File systems keep about a twentieth for themselves. */ -}}
{{- $size := include "hookbus.kubernetesBytes" $values.persistence.size | float64 }}
{{- $wanted := mulf $facts.disk 1.05 }}
{{- if and $facts.local (lt $size $wanted) }}
- persistence.size: is too small for journal.max_size, dead letters and journal.reserve of config; ask for {{ divf $wanted 1073741824 | ceil }}Gi, or lower journal.max_size
{{- end }}
{{- end -}}

{{- define "hookbus.guards.shutdown" -}}
{{- $values := .root.Values -}}
{{- $least := addf $values.preStopSleepSeconds (divf .facts.drain 1000) 5 | ceil -}}
{{- if lt (float64 $values.terminationGracePeriodSeconds) $least }}
- terminationGracePeriodSeconds: a pod would be killed in the middle of its drain; set at least {{ $least }} (preStopSleepSeconds, listener.drain_delay, listener.drain_deadline and 5 s to end), or lower one of them
{{- end }}
{{- $limit := dig "limits" "memory" "" $values.resources | toString }}
{{- $bytes := include "hookbus.kubernetesBytes" $limit }}
{{- if and $limit $bytes }}
{{- if lt (float64 $bytes) (mulf .facts.inflight 2) }}
- resources.limits.memory: is below twice listener.max_inflight of config, so a burst would end in an OOM kill; raise it, or lower max_inflight
{{- end }}
{{- end }}
{{- end -}}

{{/* What stands beside hookbus in its pods, or replaces them. */}}
{{- define "hookbus.guards.pods" -}}
{{- $values := .root.Values -}}
{{- $names := list "hookbus" -}}
{{- range concat $values.initContainers $values.extraContainers }}
{{- if has .name $names }}
- extraContainers, initContainers: there is a container {{ .name }} already; give each a name of its own
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- $taken := list "config" "spool" "broker" "broker-tls" -}}
{{- range $source, $_ := merge dict $values.sources $values.reconcile.apis }}{{ $taken = append $taken (include "hookbus.sourceVolume" $source) }}{{ end -}}
{{- range $values.extraVolumes }}
{{- if has .name $taken }}
- extraVolumes: the chart has a volume {{ .name }} already; give yours another name
{{- end }}
{{- end }}
{{- if and (not .facts.local) (or $values.updateStrategy.partition (ne $values.updateStrategy.type "RollingUpdate")) }}
- updateStrategy: is that of a StatefulSet, and with spool = "off" in config there is a Deployment, whose replicas are alike; leave type and partition at their defaults
{{- end }}
{{- if and $values.updateStrategy.partition (ne $values.updateStrategy.type "RollingUpdate") }}
- updateStrategy.partition: means nothing with type {{ $values.updateStrategy.type }}; set it to 0
{{- end }}
{{- end -}}

{{/* Webhooks carry names and policy numbers; hookbus speaks plain HTTP and leaves TLS to what stands before it. */}}
{{- define "hookbus.guards.exposure" -}}
{{- $values := .root.Values -}}
{{- $waived := has "plain_http" $values.waive -}}
{{- if $values.ingress.enabled }}
{{- if not $values.ingress.hosts }}
- ingress.hosts: is required with ingress.enabled
{{- end }}
{{- $covered := list }}
{{- range $values.ingress.tls }}{{ $covered = concat $covered (.hosts | default list) }}{{ end }}
{{- range $values.ingress.hosts }}
{{- $host := . }}
{{- $wildcard := regexReplaceAll "^[^.]+" $host "*" }}
{{- if and (not $waived) (not (or (has $host $covered) (has $wildcard $covered))) }}
- ingress.tls: does not cover {{ $host }}, so webhooks would cross the internet in clear; add it with a certificate's secretName, or, if TLS ends elsewhere, accept it with waive: [plain_http]
{{- end }}
{{- end }}
{{- end }}
{{- if $values.httpRoute.enabled }}
{{- if not $values.httpRoute.parentRefs }}
- httpRoute.parentRefs: is required with httpRoute.enabled
{{- end }}
{{- range $values.httpRoute.parentRefs }}
{{- $plain := or (not (or .sectionName .port)) (eq (int .port) 80) (eq (toString .sectionName) "http") }}
{{- if and $plain (not $waived) }}
- httpRoute.parentRefs: Gateway {{ .name }} would serve the route on its listener without TLS too; name the one with TLS (sectionName, or port), or, if TLS ends elsewhere, accept it with waive: [plain_http]
{{- end }}
{{- end }}
{{- end }}
{{- range $values.httpRoute.filters }}
{{- if or (eq .type "RequestRedirect") (and (eq .type "URLRewrite") (dig "urlRewrite" "path" false .)) }}
- httpRoute.filters: a {{ .type }} would send webhooks to a path that no source has, or to a redirect that vendors need not follow; take it out
{{- end }}
{{- end }}
{{- if and (ne $values.service.type "ClusterIP") (not $waived) }}
- service.type: {{ $values.service.type }} would take webhooks without TLS; use ingress or httpRoute, or, if the load balancer ends TLS, accept it with waive: [plain_http]
{{- end }}
{{- end -}}

{{/* What the Service is told must fit its type, and the addresses that the pods listen on. */}}
{{- define "hookbus.guards.service" -}}
{{- $service := .root.Values.service -}}
{{- $outside := list "NodePort" "LoadBalancer" -}}
{{- $balancer := list "LoadBalancer" -}}
{{- range $key, $types := dict "nodePort" $outside "externalTrafficPolicy" $outside "loadBalancerClass" $balancer "loadBalancerSourceRanges" $balancer }}
{{- if and (get $service $key) (not (has $service.type $types)) }}
- service.{{ $key }}: means nothing with service.type {{ $service.type }}; take it out, or set the type to {{ join " or " $types }}
{{- end }}
{{- end }}
{{- $isDual := hasSuffix "DualStack" $service.ipFamilyPolicy }}
{{- if and (gt (len $service.ipFamilies) 1) (not $isDual) }}
- service.ipFamilies: two of them need service.ipFamilyPolicy PreferDualStack or RequireDualStack
{{- end }}
{{- if and (or $isDual (has "IPv6" $service.ipFamilies)) (ne .root.Values.bindAddress "::") }}
- bindAddress: the pods would not listen on IPv6, which service.ipFamilyPolicy or service.ipFamilies may send there; set it to "::", which takes IPv4 as well
{{- end }}
{{- end -}}

{{/* A misspelt name would leave an alert as it is. */}}
{{- define "hookbus.guards.alerts" -}}
{{- $alerts := list -}}
{{- range (.root.Files.Get "files/rules.yaml" | fromYaml).groups }}{{ range .rules }}{{ $alerts = append $alerts (get . "alert") }}{{ end }}{{ end -}}
{{- range $name, $_ := .root.Values.prometheusRule.alerts }}
{{- if not (has $name $alerts) }}
- prometheusRule.alerts: there is no alert {{ $name }}; all are in docs/alerts.md
{{- end }}
{{- end }}
{{- end -}}

{{- define "hookbus.guards.jobs" -}}
{{- $provision := .root.Values.provision -}}
{{- $broker := .root.Values.broker -}}
{{- if and $provision.enabled (eq .facts.kind "journal") }}
- provision.enabled: bus.kind is "journal", which needs no stream or topic; disable it
{{- end }}
{{- if and $provision.enabled (trim $provision.config) }}
{{- $other := include "hookbus.facts" $provision.config | fromJson }}
{{- include "hookbus.guards.other" (dict "value" "provision.config" "other" $other "facts" .facts) }}
{{- $named := $other.files }}
{{- range $other.sources }}{{ $source := .name }}{{ range .files }}{{ $named = append $named (dict "key" (printf "secret_files of source %s" $source) "path" (toString .)) }}{{ end }}{{ end }}
{{- include "hookbus.guards.mounted" (dict "root" .root "named" $named "value" "provision.config"
  "broker" ($provision.existingSecret | default $broker.existingSecret) "brokerTls" ($provision.tlsSecret | default $broker.tlsSecret)) }}
{{- end }}
{{- end -}}

{{/* Another hookbus.toml than that of the gateways. In: value (of the chart), other (its facts), facts. */}}
{{- define "hookbus.guards.other" -}}
{{- if .other.error }}
- {{ .value }}: is not TOML: {{ .other.error }}
{{- else if ne .other.kind .facts.kind }}
- {{ .value }}: has another bus.kind than config, so that it would make or read what no gateway publishes to
{{- end }}
{{- end -}}

{{/* It asks the vendors with keys that no gateway needs, and reads what the gateways have put on the bus. */}}
{{- define "hookbus.guards.reconcile" -}}
{{- $values := .root.Values -}}
{{- $reconcile := $values.reconcile -}}
{{- if and $reconcile.enabled (eq .facts.kind "journal") }}
- reconcile.enabled: bus.kind is "journal", which lies in the volume of the gateway's one replica, and no pod beside it can read it; disable it, or use NATS or Kafka
{{- else if $reconcile.enabled }}
{{- $other := include "hookbus.facts" (include "hookbus.reconcileConfig" .root) | fromJson }}
{{- $value := ternary "reconcile.config" "config" (not (empty $reconcile.config)) }}
{{- include "hookbus.guards.other" (dict "value" $value "other" $other "facts" .facts) }}
{{- if not $other.reconcile }}
- {{ $value }}: has no [reconcile] table, without which hookbus reconcile does not start; add it, its keys have defaults
{{- end }}
{{- $provision := $values.provision }}
{{- $made := include "hookbus.facts" ($provision.config | default (include "hookbus.config" .root)) | fromJson }}
{{- if and $provision.enabled $other.reconcile (not $made.reconcile) }}
- {{ ternary "provision.config" "config" (not (empty $provision.config)) }}: has no [reconcile] table, so that the Job of provision would make no topics or subjects for findings; write the same tables there as in {{ $value }}
{{- end }}
{{- if has "reconcile.address" $other.owned }}
- {{ $value }}: remove reconcile.address, which the chart sets
{{- end }}
{{- $named := $other.files }}
{{- range $other.sources }}
{{- $named = concat $named .keys | default list }}
{{- if and .follows (eq $reconcile.mode "cronjob") }}
- reconcile.mode: "cronjob" looks once and ends, so that nobody would fetch what follow_up of source {{ .name }} asks for; set it to "deployment", or take follow_up out
{{- end }}
{{- end }}
{{- include "hookbus.guards.mounted" (merge (dict "root" .root "named" $named "value" $value) (include "hookbus.reconcileMounts" .root | fromJson)) }}
{{- $ours := list $values.broker.existingSecret $values.broker.tlsSecret }}
{{- range $values.sources }}{{ $ours = append $ours .existingSecret }}{{ end }}
{{- range $source, $secret := $reconcile.apis }}
{{- if has $secret.existingSecret $ours }}
- reconcile.apis.{{ $source }}: the gateways mount Secret {{ $secret.existingSecret }}, too, and never call a vendor; put the key of the API into a Secret of its own
{{- end }}
{{- $used := false }}
{{- range $named }}{{ if hasPrefix (printf "/etc/hookbus/apis/%s/" $source) .path }}{{ $used = true }}{{ end }}{{ end }}
{{- if not $used }}
- reconcile.apis.{{ $source }}: {{ $value }} names no file below /etc/hookbus/apis/{{ $source }}/; correct the name, or write the file into key_file of [sources.api]
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A chart that was taken apart renders an empty rule file without a word. */}}
{{- define "hookbus.guards.complete" -}}
{{- if and .root.Values.prometheusRule.enabled (not (.root.Files.Get "files/rules.yaml")) }}
- prometheusRule.enabled: files/rules.yaml is missing from this copy of the chart; take the whole chart
{{- end }}
{{- if and .root.Values.dashboard.enabled (not (.root.Files.Get "files/dashboard.json")) }}
- dashboard.enabled: files/dashboard.json is missing from this copy of the chart; take the whole chart
{{- end }}
{{- end -}}
