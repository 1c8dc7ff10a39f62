{{/* What the chart reads out of hookbus.toml. hookbus itself reads the text as it is; here it is only looked at. */}}

{{/* The text of hookbus.toml: config, or else what is in the ConfigMap that is there already. In: root. */}}
{{- define "hookbus.config" -}}
{{- .Values.config | default (include "hookbus.existingConfig" .) -}}
{{- end -}}

{{/* The text in existingConfigMap; nothing without one, or while helm only renders. In: root. */}}
{{- define "hookbus.existingConfig" -}}
{{- with .Values.existingConfigMap -}}
{{- dig "data" "hookbus.toml" "" (lookup "v1" "ConfigMap" (include "hookbus.namespace" $) .) -}}
{{- end -}}
{{- end -}}

{{/* The name of the ConfigMap with it. In: root. */}}
{{- define "hookbus.configMap" -}}
{{- .Values.existingConfigMap | default (include "hookbus.fullname" .) -}}
{{- end -}}

{{/* A table below another one, as JSON; empty when it is absent or no table, which hookbus reports itself. In: of, key. */}}
{{- define "hookbus.table" -}}
{{- $table := get .of .key -}}
{{- ternary $table dict (kindIs "map" $table) | toJson -}}
{{- end -}}

{{/* The files that a table names, as JSON: key, path. In: of, at (where the table stands). */}}
{{- define "hookbus.filesOf" -}}
{{- $files := list -}}
{{- range $key, $value := .of -}}
{{- if hasSuffix "_file" $key }}{{ $files = append $files (dict "key" (printf "%s.%s" $.at $key) "path" (toString $value)) }}{{ end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end -}}

{{/* A number with a unit in its smallest unit; nothing when it is none. In: text, units. */}}
{{- define "hookbus.quantity" -}}
{{- $text := toString .text -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- if and (hasKey .units $unit) (regexMatch "^[0-9]+([.][0-9]+)?$" $number) -}}
{{- mulf (float64 $number) (float64 (get .units $unit)) | int64 -}}
{{- end -}}
{{- end -}}

{{/* The milliseconds of a hookbus duration. */}}
{{- define "hookbus.milliseconds" -}}
{{- include "hookbus.quantity" (dict "text" . "units" (dict "us" 0.001 "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000)) -}}
{{- end -}}

{{/* The bytes of a hookbus size. */}}
{{- define "hookbus.bytes" -}}
{{- include "hookbus.quantity" (dict "text" . "units" (dict "B" 1 "KB" 1e3 "MB" 1e6 "GB" 1e9 "TB" 1e12
  "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776)) -}}
{{- end -}}

{{/* The bytes of a Kubernetes quantity. */}}
{{- define "hookbus.kubernetesBytes" -}}
{{- include "hookbus.quantity" (dict "text" . "units" (dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624)) -}}
{{- end -}}

{{/* The port of an address with one; nothing when it has none. */}}
{{- define "hookbus.port" -}}
{{- regexFind ":[0-9]+$" . | trimPrefix ":" -}}
{{- end -}}

{{/*
Everything that the chart wants to know of a configuration, as JSON. In: its text.
  error     why it is no TOML
  kind      bus.kind
  local     whether acknowledged events lie on this replica's disk: in the spool, or because the journal is the bus
  owned     keys that the chart sets and the text must not
  unread    keys with a unit that the chart reads and cannot
  workers   whether it says listener.workers
  drain     milliseconds from SIGTERM to the end of the drain
  disk      bytes that journal and dead letters may take, and what must stay free
  inflight  bytes of all heads and bodies in memory
  body      the largest body, as written
  sources   name, vendor, path, files; keys (files of the vendor's API: key, path), follows (whether details are fetched)
  reconcile whether there is a table for it
  files     files of the bus: key, path
  ports     of the brokers
*/}}
{{- define "hookbus.facts" -}}
{{- $toml := fromToml . -}}
{{- $listener := include "hookbus.table" (dict "of" $toml "key" "listener") | fromJson -}}
{{- $admin := include "hookbus.table" (dict "of" $toml "key" "admin") | fromJson -}}
{{- $journal := include "hookbus.table" (dict "of" $toml "key" "journal") | fromJson -}}
{{- $bus := include "hookbus.table" (dict "of" $toml "key" "bus") | fromJson -}}
{{- $reconcile := include "hookbus.table" (dict "of" $toml "key" "reconcile") | fromJson -}}
{{- $kind := get $bus "kind" | toString -}}
{{- $local := or (eq $kind "journal") (ne (get $journal "spool" | toString) "off") -}}

{{- $owned := list -}}
{{- if hasKey $listener "address" }}{{ $owned = append $owned "listener.address" }}{{ end -}}
{{- if hasKey $admin "address" }}{{ $owned = append $owned "admin.address" }}{{ end -}}
{{- if hasKey $journal "directory" }}{{ $owned = append $owned "journal.directory" }}{{ end -}}
{{- if hasKey $reconcile "address" }}{{ $owned = append $owned "reconcile.address" }}{{ end -}}

{{- $unread := list -}}
{{- $milliseconds := dict -}}
{{- range $key, $default := dict "drain_delay" "5s" "drain_deadline" "20s" -}}
{{- $value := include "hookbus.milliseconds" (ternary (get $listener $key) $default (hasKey $listener $key)) -}}
{{- if not $value }}{{ $unread = append $unread (printf "listener.%s" $key) }}{{ end -}}
{{- $_ := set $milliseconds $key (float64 $value) -}}
{{- end -}}
{{- $bytes := dict -}}
{{- range $key, $default := dict "max_size" "10GiB" "segment_size" "64MiB" "reserve" "512MiB" -}}
{{- $value := include "hookbus.bytes" (ternary (get $journal $key) $default (hasKey $journal $key)) -}}
{{- if not $value }}{{ $unread = append $unread (printf "journal.%s" $key) }}{{ end -}}
{{- $_ := set $bytes $key (float64 $value) -}}
{{- end -}}
{{- $inflight := include "hookbus.bytes" (ternary (get $listener "max_inflight") "64MiB" (hasKey $listener "max_inflight")) -}}
{{- if not $inflight }}{{ $unread = append $unread "listener.max_inflight" }}{{ end -}}

{{- /* Dead letters may take a tenth of the spool, and at least two of its segments. */ -}}
{{- $letters := maxf (divf $bytes.max_size 10) (mulf $bytes.segment_size 2) -}}
{{- $disk := addf $bytes.max_size $bytes.reserve (ternary 0 $letters (eq $kind "journal")) -}}

{{- $sources := list -}}
{{- range ternary (get $toml "sources") list (kindIs "slice" (get $toml "sources")) -}}
{{- if kindIs "map" . -}}
{{- $files := ternary (get . "secret_files") list (kindIs "slice" (get . "secret_files")) -}}
{{- $api := include "hookbus.table" (dict "of" . "key" "api") | fromJson -}}
{{- $name := get . "name" | toString -}}
{{- $keys := include "hookbus.filesOf" (dict "of" $api "at" (printf "api of source %s" $name)) | fromJsonArray -}}
{{- $sources = append $sources (dict "name" $name "vendor" (get . "vendor" | toString)
  "path" (get . "path" | toString) "files" $files "keys" $keys "follows" (not (empty (get $api "follow_up")))) -}}
{{- end -}}
{{- end -}}

{{- $nats := include "hookbus.table" (dict "of" $bus "key" "nats") | fromJson -}}
{{- $kafka := include "hookbus.table" (dict "of" $bus "key" "kafka") | fromJson -}}
{{- $tls := include "hookbus.table" (dict "of" $kafka "key" "tls") | fromJson -}}
{{- $sasl := include "hookbus.table" (dict "of" $kafka "key" "sasl") | fromJson -}}
{{- $tables := dict "bus.nats" $nats -}}
{{- if eq $kind "kafka" }}{{ $_ := set $tables "bus.kafka.tls" $tls }}{{ $_ := set $tables "bus.kafka.sasl" $sasl }}{{ end -}}
{{- $files := list -}}
{{- range $path, $table := $tables -}}
{{- $files = concat $files (include "hookbus.filesOf" (dict "of" $table "at" $path) | fromJsonArray) | default list -}}
{{- end -}}

{{- $addresses := dict "nats" (get $nats "servers") "kafka" (get $kafka "brokers") -}}
{{- $found := get $addresses $kind -}}
{{- $ports := list -}}
{{- range ternary $found list (kindIs "slice" $found) -}}
{{- $ports = append $ports (include "hookbus.port" (toString .) | default "4222" | int) -}}
{{- end -}}

{{- dict "error" (get $toml "Error" | default "") "kind" $kind "local" $local "owned" $owned "unread" $unread "workers" (hasKey $listener "workers")
  "drain" (addf $milliseconds.drain_delay $milliseconds.drain_deadline) "disk" $disk "inflight" (float64 $inflight)
  "body" (get $listener "max_body" | default "5MiB") "sources" $sources "reconcile" (hasKey $toml "reconcile") "files" $files "ports" ($ports | uniq)
  | toJson -}}
{{- end -}}

{{/* StatefulSet where acknowledged events lie on a replica's disk, else Deployment. In: root. */}}
{{- define "hookbus.workload" -}}
{{- $facts := include "hookbus.facts" (include "hookbus.config" .) | fromJson -}}
{{- ternary "StatefulSet" "Deployment" $facts.local -}}
{{- end -}}

{{/* The address that a listener binds. In: root, port. */}}
{{- define "hookbus.address" -}}
{{- $host := .root.Values.bindAddress -}}
{{- ternary (printf "[%s]:%v" $host .port) (printf "%s:%v" $host .port) (contains ":" $host) -}}
{{- end -}}
