{{/* Names, labels and the image. */}}

{{- define "hookbus.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 bytes: pods, and the label with a StatefulSet's revision, put up to eleven more behind it. A Service's name must begin
with a letter. */}}
{{- define "hookbus.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- if regexMatch "^[0-9]" $both }}{{ $both = printf "%s-%s" $name .Release.Name }}{{ end -}}
{{- .Values.fullnameOverride | default $both | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* What never changes, and tells the gateway's pods from those of jobs. */}}
{{- define "hookbus.selector" -}}
{{- include "hookbus.selectorOf" (dict "root" . "component" "gateway") -}}
{{- end -}}

{{/* The same of another component. In: root, component. */}}
{{- define "hookbus.selectorOf" -}}
app.kubernetes.io/name: {{ include "hookbus.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Where everything lives. */}}
{{- define "hookbus.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* An object's metadata. In: root, name, component; labels and annotations (more of them); namespace (another one). */}}
{{- define "hookbus.metadata" -}}
name: {{ .name | quote }}
{{- /* Without an override it stays open, for those who render and apply elsewhere. */}}
{{- with .namespace | default .root.Values.namespaceOverride }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "hookbus.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels of an object: the chart's own win. In: root, component, labels (more of them). */}}
{{- define "hookbus.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "hookbus.name" .root)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" .component
  "app.kubernetes.io/version" (.root.Chart.AppVersion | toString)
  "app.kubernetes.io/part-of" "hookbus"
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- mergeOverwrite dict .root.Values.commonLabels (.labels | default dict) $own | toYaml -}}
{{- end -}}

{{/* Labels of a pod. None that changes with the chart's version alone, which would restart every pod. In: root, component. */}}
{{- define "hookbus.podLabels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "hookbus.name" .root)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" .component -}}
{{- mergeOverwrite dict .root.Values.commonLabels .root.Values.podLabels $own | toYaml -}}
{{- end -}}

{{- define "hookbus.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "hookbus.serviceAccount" -}}
{{- include "hookbus.account" (dict "settings" .Values.serviceAccount "name" (include "hookbus.fullname" .)) -}}
{{- end -}}

{{/* The name of an account. In: settings (create, name), name (of one that is made, unless they have one). */}}
{{- define "hookbus.account" -}}
{{- .settings.name | default (ternary .name "default" .settings.create) -}}
{{- end -}}

{{/* The headless Service: the pods' names in DNS, and where metrics are scraped. */}}
{{- define "hookbus.podsService" -}}
{{ include "hookbus.fullname" . }}-pods
{{- end -}}

{{/* What Services of metrics have in common: each pod by name, ready or not. In: root. */}}
{{- define "hookbus.metricsService" -}}
clusterIP: None
publishNotReadyAddresses: true
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}
