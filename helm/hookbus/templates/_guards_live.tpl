{{/* Guards that compare with what the cluster has already: what is removed, what Kubernetes does not change, what was left behind. */}}

{{- define "hookbus.guards.live" -}}
{{- $live := include "hookbus.live" .root | fromJson -}}
{{- $arguments := merge (dict "live" $live) . -}}
{{- range list "removed" "orphans" "fixed" "fixedService" -}}
{{- include (printf "hookbus.guards.%s" .) $arguments -}}
{{- end -}}
{{- end -}}

{{/* Replicas that go, with events in their spools perhaps. */}}
{{- define "hookbus.guards.removed" -}}
{{- $values := .root.Values -}}
{{- $facts := .facts -}}
{{- $name := include "hookbus.fullname" .root -}}
{{- range .live.sets }}
{{- $set := . }}
{{- $stays := and $facts.local (eq .name $name) }}
{{- $keep := ternary (ternary .replicas (int $values.replicaCount) $values.autoscaling.enabled) 0 $stays }}
{{- /* What a Job drains has been thought of. */}}
{{- $gone := list }}
{{- range untilStep (int $keep) (int .replicas) 1 }}
{{- $claim := printf "spool-%s-%d" $set.name . }}
{{- if not (has $claim $values.drain.claims) }}{{ $gone = append $gone $claim }}{{ end }}
{{- end }}
{{- if and $gone (not (has "scale_down" $values.waive)) }}
- {{ ternary (ternary "replicaCount" "config" $facts.local) "fullnameOverride or nameOverride" (eq .name $name) }}: would remove replicas of StatefulSet {{ .name }} ({{ .replicas }} now), whose spools may hold acknowledged events: {{ join ", " $gone }}; keep them, or list these claims in drain.claims (Jobs send on what they hold), or wait until hookbus_journal_records and hookbus_dead_letters are 0 on each of them, then upgrade with waive: [scale_down] (the volumes stay)
{{- end }}
{{- end }}
{{- end -}}

{{/* Volumes that no replica mounts any more, from whatever came before. */}}
{{- define "hookbus.guards.orphans" -}}
{{- $removed := list -}}
{{- range .live.sets }}{{ $set := . }}{{ range until (int .replicas) }}{{ $removed = append $removed (printf "spool-%s-%d" $set.name .) }}{{ end }}{{ end -}}
{{- $left := list -}}
{{- range include "hookbus.orphans" . | fromJsonArray }}{{ if not (has . $removed) }}{{ $left = append $left . }}{{ end }}{{ end -}}
{{- if and $left (not (has "orphaned_claims" .root.Values.waive)) }}
- drain.claims: no replica mounts {{ join ", " $left }} of this release, which may hold acknowledged events; list them there (Jobs send on what they hold; delete a claim when its Job is complete), or delete those that you know to be empty, or accept it with waive: [orphaned_claims]
{{- end }}
{{- end -}}

{{/* What Kubernetes refuses to change, with the ConfigMap changed before it says so. */}}
{{- define "hookbus.guards.fixed" -}}
{{- $values := .root.Values -}}
{{- $namespace := include "hookbus.namespace" .root -}}
{{- $name := include "hookbus.fullname" .root -}}
{{- $selector := include "hookbus.selector" .root | fromYaml -}}
{{- $kind := ternary "statefulset" "deployment" .facts.local -}}
{{- $present := .live.sets -}}
{{- if not .facts.local -}}
{{- $deployment := lookup "apps/v1" "Deployment" $namespace $name -}}
{{- $present = ternary (list (dict "name" $name "selector" (dig "spec" "selector" "matchLabels" dict $deployment))) list (not (empty $deployment)) -}}
{{- end -}}
{{- range $present }}
{{- if eq .name $name }}
{{- $again := printf "kubectl delete %s -n %s %s --cascade=orphan (its pods go on), then upgrade again" $kind $namespace $name }}
{{- if ne (toJson .selector) (toJson $selector) }}
- nameOverride: Kubernetes does not change the labels by which {{ $kind }} {{ $name }} selects its pods; keep the name, or uninstall and install anew
{{- end }}
{{- if eq $kind "statefulset" }}
{{- $enabled := not (empty .template) }}
{{- if ne $enabled $values.persistence.enabled }}
- persistence.enabled: Kubernetes does not change the volumes of StatefulSet {{ $name }} in place, and what its replicas hold would stay where it is; wait until hookbus_journal_records and hookbus_dead_letters are 0 on each of them, then {{ $again }}
{{- else if $enabled }}
{{- $spec := .template.spec }}
{{- $size := dig "resources" "requests" "storage" "" $spec }}
{{- if ne $size $values.persistence.size }}
- persistence.size: Kubernetes does not change {{ $size }} of StatefulSet {{ $name }} in place; resize the claims, which needs a storage class with allowVolumeExpansion (kubectl get pvc -n {{ $namespace }} -l app.kubernetes.io/instance={{ $.root.Release.Name }} -o name | xargs -I{} kubectl patch -n {{ $namespace }} {} -p '{"spec":{"resources":{"requests":{"storage":"{{ $values.persistence.size }}"}}}}'), then {{ $again }}
{{- end }}
{{- if ne (get $spec "storageClassName" | default "") $values.persistence.storageClassName }}
- persistence.storageClassName: Kubernetes does not change it of StatefulSet {{ $name }} in place, and claims that exist keep theirs; to have it for further replicas, {{ $again }}
{{- end }}
{{- if ne (dig "accessModes" list $spec | join ",") $values.persistence.accessMode }}
- persistence.accessMode: Kubernetes does not change it of StatefulSet {{ $name }} in place, and claims that exist keep theirs; to have it for further replicas, {{ $again }}
{{- end }}
{{- if ne (dig "metadata" "annotations" dict .template | toJson) (toJson $values.persistence.annotations) }}
- persistence.annotations: Kubernetes does not change them of StatefulSet {{ $name }} in place, and claims that exist keep theirs (kubectl annotate pvc); to have them for further replicas, {{ $again }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The same of the Service. */}}
{{- define "hookbus.guards.fixedService" -}}
{{- $service := .root.Values.service -}}
{{- $name := include "hookbus.fullname" .root -}}
{{- $live := dig "spec" dict (lookup "v1" "Service" (include "hookbus.namespace" .root) $name) -}}
{{- $family := first (get $live "ipFamilies" | default list) -}}
{{- if and $family $service.ipFamilies (ne $family (first $service.ipFamilies)) }}
- service.ipFamilies: Kubernetes does not change {{ $family }} of Service {{ $name }}, its first family, in place; keep it first
{{- end }}
{{- $isBalancer := and (eq $service.type "LoadBalancer") (eq (get $live "type" | toString) "LoadBalancer") }}
{{- if and $isBalancer (ne (get $live "loadBalancerClass" | default "") $service.loadBalancerClass) }}
- service.loadBalancerClass: Kubernetes does not change it of Service {{ $name }} in place; keep {{ get $live "loadBalancerClass" | default "none" }}, or set service.type to ClusterIP for one upgrade
{{- end }}
{{- end -}}

{{- define "hookbus.guards.drain" -}}
{{- $values := .root.Values -}}
{{- if and $values.drain.claims (eq .facts.kind "journal") }}
- drain.claims: bus.kind is "journal", and there is nothing to drain to; list none
{{- end }}
{{- if and .facts.local $values.persistence.enabled }}
{{- $most := ternary $values.autoscaling.maxReplicas $values.replicaCount $values.autoscaling.enabled | int }}
{{- range until $most }}
{{- $claim := printf "spool-%s-%d" (include "hookbus.fullname" $.root) . }}
{{- if has $claim $values.drain.claims }}
- drain.claims: a replica of this release mounts {{ $claim }}, and drains it by itself; take it out of the list
{{- end }}
{{- end }}
{{- end }}
{{- $texts := list }}
{{- if or $values.provision.enabled $values.drain.claims }}{{ $texts = append $texts ($values.provision.config | default (include "hookbus.config" .root)) }}{{ end }}
{{- if $values.reconcile.enabled }}{{ $texts = append $texts (include "hookbus.reconcileConfig" .root) }}{{ end }}
{{- $longest := 0 }}
{{- range $texts }}{{ $longest = max $longest (len .) }}{{ end }}
{{- if gt $longest 200000 }}
- config: is longer than 200,000 bytes, which is more than a pod takes in an annotation; provision by hand, and reconcile elsewhere, with both of them disabled
{{- end }}
{{- end -}}
