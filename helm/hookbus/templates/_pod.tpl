{{/* The parts of a pod that the gateway shares with jobs and tests: one image, one configuration, the same files. */}}

{{/* What stands in every pod's spec. In: root. */}}
{{- define "hookbus.podSettings" -}}
automountServiceAccountToken: false
# Services of the namespace are none of hookbus' business, and their variables might pass for its own.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The probes of a container that serves. In: root. */}}
{{- define "hookbus.probes" -}}
{{- range $name, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
{{ $name }}:
  httpGet:
    path: {{ $path }}
    port: metrics
  {{- get $.Values $name | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What stands in every container, but its name, words and ports. In: root, resources. */}}
{{- define "hookbus.containerSettings" -}}
image: {{ include "hookbus.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end -}}

{{/* The environment: where the file is, and the few keys that only the chart can know. In: root, spool, reconcile (whether it is
`hookbus reconcile` that reads it). */}}
{{- define "hookbus.env" -}}
- name: HOOKBUS_CONFIG
  value: /etc/hookbus/config/hookbus.toml
- name: HOOKBUS__LISTENER__ADDRESS
  value: {{ include "hookbus.address" (dict "root" .root "port" 8080) | quote }}
- name: HOOKBUS__ADMIN__ADDRESS
  value: {{ include "hookbus.address" (dict "root" .root "port" 9464) | quote }}
{{- $facts := include "hookbus.facts" (include "hookbus.config" .root) | fromJson }}
{{- if not $facts.workers }}
# hookbus counts the node's CPUs, of which a pod gets its share.
- name: HOOKBUS__LISTENER__WORKERS
  value: {{ .root.Values.workers | quote }}
{{- end }}
{{- if .reconcile }}
- name: HOOKBUS__RECONCILE__ADDRESS
  value: {{ include "hookbus.address" (dict "root" .root "port" 9465) | quote }}
{{- end }}
{{- if .spool }}
# A directory of its own inside the volume: hookbus makes it, readable by its owner only.
- name: HOOKBUS__JOURNAL__DIRECTORY
  value: /var/lib/hookbus/journal
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Secrets of the vendors: those that sign in `sources`, or those of their APIs, as JSON: directory, of (source's name ->
existingSecret). In: root, reconcile. */}}
{{- define "hookbus.vendorSecrets" -}}
{{- if .reconcile -}}
{{- dict "directory" "apis" "of" .root.Values.reconcile.apis | toJson -}}
{{- else -}}
{{- dict "directory" "sources" "of" .root.Values.sources | toJson -}}
{{- end -}}
{{- end -}}

{{/* In: root, broker and brokerTls (whether there is such a Secret), spool, reconcile. */}}
{{- define "hookbus.volumeMounts" -}}
{{- $vendors := include "hookbus.vendorSecrets" . | fromJson -}}
- name: config
  mountPath: /etc/hookbus/config
  readOnly: true
{{- range $source, $_ := $vendors.of }}
- name: {{ include "hookbus.sourceVolume" $source }}
  mountPath: /etc/hookbus/{{ $vendors.directory }}/{{ $source }}
  readOnly: true
{{- end }}
{{- if .broker }}
- name: broker
  mountPath: /etc/hookbus/broker
  readOnly: true
{{- end }}
{{- if .brokerTls }}
- name: broker-tls
  mountPath: /etc/hookbus/broker-tls
  readOnly: true
{{- end }}
{{- if .spool }}
- name: spool
  mountPath: /var/lib/hookbus
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whole Secrets as directories, never single files of them (subPath): only so does a changed Secret arrive in a running
pod. In: root, configMap (without one, the file is an annotation of
the pod), broker and brokerTls (the Secrets' names), reconcile. */}}
{{- define "hookbus.volumes" -}}
{{- $vendors := include "hookbus.vendorSecrets" . | fromJson -}}
- name: config
  {{- if .configMap }}
  configMap:
    name: {{ .configMap | quote }}
  {{- else }}
  downwardAPI:
    items:
      - path: hookbus.toml
        fieldRef: {fieldPath: "metadata.annotations['hookbus.toml']"}
  {{- end }}
{{- range $source, $secret := $vendors.of }}
- name: {{ include "hookbus.sourceVolume" $source }}
  secret:
    secretName: {{ $secret.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- with .broker }}
- name: broker
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with .brokerTls }}
- name: broker-tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A volume's name takes no underscore, and ends in a letter. */}}
{{- define "hookbus.sourceVolume" -}}
source-{{ . | replace "_" "-" }}-secret
{{- end -}}
