{{/* What `hookbus reconcile` is, beside the gateways: the same image, its own login, account and Secrets. Its configuration lies in its
own pod, as that of a Job of provision does. */}}

{{/* At most 52 bytes, since a CronJob puts eleven more behind it. */}}
{{- define "hookbus.reconcileName" -}}
{{ include "hookbus.fullname" . | trunc 42 | trimSuffix "-" }}-reconcile
{{- end -}}

{{- define "hookbus.reconcileAccount" -}}
{{- include "hookbus.account" (dict "settings" .Values.reconcile.serviceAccount "name" (include "hookbus.reconcileName" .)) -}}
{{- end -}}

{{/* The text of its hookbus.toml. In: root. */}}
{{- define "hookbus.reconcileConfig" -}}
{{- .Values.reconcile.config | default (include "hookbus.config" .) -}}
{{- end -}}

{{/* What its pod mounts, as JSON; see hookbus.volumeMounts. In: root. */}}
{{- define "hookbus.reconcileMounts" -}}
{{- dict "broker" (.Values.reconcile.existingSecret | default .Values.broker.existingSecret)
  "brokerTls" (.Values.reconcile.tlsSecret | default .Values.broker.tlsSecret) "spool" false "reconcile" true | toJson -}}
{{- end -}}
