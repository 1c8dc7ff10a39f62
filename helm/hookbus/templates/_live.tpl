{{/* What of this release the cluster has already. Look-ups find nothing while helm only renders. */}}

{{/*
As JSON. This chart in this release, whatever names it had before: a rename leaves the volumes of the old one behind. In: root.
  sets    StatefulSets: name, replicas, selector, template (of the claims; none without volumes)
  claims  names of the volume claims of replicas, those of none any more among them
*/}}
{{- define "hookbus.live" -}}
{{- $found := dict "sets" list "claims" list -}}
{{- range (lookup "apps/v1" "StatefulSet" (include "hookbus.namespace" .) "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- $owner := get (.metadata.annotations | default dict) "meta.helm.sh/release-name" | default (get $labels "app.kubernetes.io/instance") -}}
{{- /* Another alias of the chart in the same release is another gateway. */ -}}
{{- $chart := regexMatch (printf "^%s-[0-9]+[.]" $.Chart.Name) (get $labels "helm.sh/chart" | toString) -}}
{{- if and $chart (eq $owner $.Release.Name) (eq (get $labels "app.kubernetes.io/component" | toString) "gateway") -}}
{{- $one := dict "name" .metadata.name "replicas" (dig "spec" "replicas" 1 . | int) "selector" (dig "spec" "selector" "matchLabels" dict .)
  "template" (dig "spec" "volumeClaimTemplates" list . | first) -}}
{{- $_ := set $found "sets" (append $found.sets $one) -}}
{{- end -}}
{{- end -}}
{{- range (lookup "v1" "PersistentVolumeClaim" (include "hookbus.namespace" .) "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- $ours := and (eq (get $labels "app.kubernetes.io/instance" | toString) $.Release.Name) (eq (get $labels "app.kubernetes.io/component" | toString) "gateway") -}}
{{- if and $ours (regexMatch "^spool-.+-[0-9]+$" .metadata.name) (not .metadata.deletionTimestamp) -}}
{{- $_ := set $found "claims" (append $found.claims .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* The claims that no replica mounts after this, and no drain, as JSON. In: root, facts, live. */}}
{{- define "hookbus.orphans" -}}
{{- $values := .root.Values -}}
{{- $most := ternary $values.autoscaling.maxReplicas $values.replicaCount $values.autoscaling.enabled | int -}}
{{- $mounted := list -}}
{{- if and .facts.local $values.persistence.enabled -}}
{{- range until $most }}{{ $mounted = append $mounted (printf "spool-%s-%d" (include "hookbus.fullname" $.root) .) }}{{ end -}}
{{- end -}}
{{- /* An alias of the chart labels its claims alike: they have a StatefulSet. */ -}}
{{- $ours := list -}}
{{- range .live.sets }}{{ $ours = append $ours .name }}{{ end -}}
{{- $others := list -}}
{{- range (lookup "apps/v1" "StatefulSet" (include "hookbus.namespace" .root) "").items }}{{ $others = append $others .metadata.name }}{{ end -}}
{{- $orphans := list -}}
{{- range .live.claims -}}
{{- $set := regexReplaceAll "^spool-(.+)-[0-9]+$" . "${1}" -}}
{{- if not (or (has . $mounted) (has . $values.drain.claims) (and (has $set $others) (not (has $set $ours)))) -}}
{{- $orphans = append $orphans . -}}
{{- end -}}
{{- end -}}
{{- $orphans | toJson -}}
{{- end -}}

{{/* The replicas of the workload as it is now, where an autoscaler counts them: a number that left the manifest would fall to one.
Nothing where there is none yet. In: root. */}}
{{- define "hookbus.liveReplicas" -}}
{{- $live := lookup "apps/v1" (include "hookbus.workload" .) (include "hookbus.namespace" .) (include "hookbus.fullname" .) -}}
{{- if $live }}{{ dig "spec" "replicas" 1 $live | int }}{{ end -}}
{{- end -}}
