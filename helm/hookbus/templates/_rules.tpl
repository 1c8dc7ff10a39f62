{{/* The groups of files/rules.yaml, as prometheusRule changes them: without the alerts that are off, others with another expression,
time or severity. In: root. */}}
{{- define "hookbus.rules" -}}
{{- $values := .Values.prometheusRule -}}
{{- $groups := list -}}
{{- range $group := (.Files.Get "files/rules.yaml" | fromYaml).groups -}}
{{- $rules := list -}}
{{- range $group.rules -}}
{{- $change := get $values.alerts (get . "alert" | toString) | default dict -}}
{{- if ne (toString (get $change "enabled")) "false" -}}
{{- $rule := mergeOverwrite (deepCopy .) (pick $change "expr" "for") -}}
{{- with get $change "severity" }}{{ $_ := set $rule.labels "severity" . }}{{ end -}}
{{- if and $values.runbookBaseUrl $rule.alert -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" (trimSuffix "/" $values.runbookBaseUrl) $rule.annotations.runbook) -}}
{{- end -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- with $rules }}{{ $groups = append $groups (dict "name" $group.name "rules" .) }}{{ end -}}
{{- end -}}
{{- $groups | toYaml -}}
{{- end -}}
