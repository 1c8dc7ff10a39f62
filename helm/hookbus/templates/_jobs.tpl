{{/* What the Jobs of provision, of drain and of reconcile share. */}}

{{/* A Job's spec. A wrong configuration (64) is not tried again: no other attempt ends better. In: root, component, account, args,
attempts (after the first), deadline (seconds; 0 for none), answers (further exit codes below that, ascending, which another attempt does not change),
annotations (of the pod), mounts (see hookbus.volumeMounts), volumes (as text), resources (those of all Jobs unless given). */}}
{{- define "hookbus.job" -}}
backoffLimit: {{ .attempts }}
{{- with .deadline }}
activeDeadlineSeconds: {{ . }}
{{- end }}
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes: {containerName: {{ .component }}, operator: In, values: {{ append (.answers | default list) 64 | toJson }}}
template:
  metadata:
    labels:
      {{- include "hookbus.podLabels" (dict "root" .root "component" .component) | nindent 6 }}
    {{- with mergeOverwrite dict .root.Values.podAnnotations .annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    serviceAccountName: {{ .account | quote }}
    {{- include "hookbus.podSettings" .root | nindent 4 }}
    restartPolicy: Never
    containers:
      - name: {{ .component }}
        {{- include "hookbus.containerSettings" (dict "root" .root "resources" (.resources | default .root.Values.jobs.resources)) | nindent 8 }}
        args: {{ toJson .args }}
        env:
          {{- include "hookbus.env" .mounts | nindent 10 }}
        volumeMounts:
          {{- include "hookbus.volumeMounts" .mounts | nindent 10 }}
    volumes:
      {{- .volumes | nindent 6 }}
{{- end -}}

{{/* The spec of a Job that provisions. Its configuration lies in its own pod, so that nothing that comes or goes with a hook can
leave it without one. In: root, args, attempts, deadline. */}}
{{- define "hookbus.provision" -}}
{{- $values := .root.Values -}}
{{- $broker := $values.provision.existingSecret | default $values.broker.existingSecret -}}
{{- $tls := $values.provision.tlsSecret | default $values.broker.tlsSecret -}}
{{- $mounts := dict "root" .root "broker" $broker "brokerTls" $tls "spool" false -}}
{{- include "hookbus.job" (dict "root" .root "component" "provision" "args" .args "attempts" .attempts "deadline" .deadline
  "annotations" (dict "hookbus.toml" ($values.provision.config | default (include "hookbus.config" .root))) "mounts" $mounts
  "volumes" (include "hookbus.volumes" (dict "root" .root "broker" $broker "brokerTls" $tls))
  "account" "default") -}}
{{- end -}}
