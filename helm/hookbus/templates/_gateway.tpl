{{/* The gateway's pod template, the same in the StatefulSet and in the Deployment. In: root, facts, revision (the label that
tells the pods of one revision). */}}
{{- define "hookbus.gateway" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $mounts := dict "root" $root "broker" $values.broker.existingSecret "brokerTls" $values.broker.tlsSecret "spool" .facts.local -}}
metadata:
  labels:
    {{- include "hookbus.podLabels" (dict "root" $root "component" "gateway") | nindent 4 }}
  annotations:
    # A changed configuration needs a restart, so it changes the pods. A changed Secret does not: hookbus reads it again.
    checksum/config: {{ include "hookbus.config" $root | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "hookbus.serviceAccount" $root | quote }}
  {{- include "hookbus.podSettings" $root | nindent 2 }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $own := dict "labelSelector" (dict "matchLabels" (include "hookbus.selector" $root | fromYaml)) "matchLabelKeys" (list $.revision) }}
    - {{ mergeOverwrite dict (ternary dict $own (hasKey . "labelSelector")) . | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- with $values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: hookbus
      {{- include "hookbus.containerSettings" (dict "root" $root "resources" $values.resources) | nindent 6 }}
      args: [serve]
      env:
        {{- include "hookbus.env" $mounts | nindent 8 }}
      ports:
        - name: http
          containerPort: 8080
        - name: metrics
          containerPort: 9464
      {{- include "hookbus.probes" $root | nindent 6 }}
      {{- if $values.preStopSleepSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $values.preStopSleepSeconds }}
      {{- end }}
      volumeMounts:
        {{- include "hookbus.volumeMounts" $mounts | nindent 8 }}
    {{- with $values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "hookbus.volumes" (dict "root" $root "configMap" (include "hookbus.configMap" $root)
      "broker" $values.broker.existingSecret "brokerTls" $values.broker.tlsSecret) | nindent 4 }}
    {{- if and .facts.local (not $values.persistence.enabled) }}
    - name: spool
      emptyDir:
        sizeLimit: {{ $values.persistence.size | quote }}
    {{- end }}
{{- end -}}
