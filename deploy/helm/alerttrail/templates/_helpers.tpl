{{- /* Begins with alerttrail, as the job of the rules and the dashboard has to. */ -}}
{{- define "alerttrail.name" -}}
{{- if hasPrefix .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "alerttrail-%s" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end -}}

{{- define "alerttrail.selector" -}}
app.kubernetes.io/name: alerttrail
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "alerttrail.metadata" -}}
name: {{ include "alerttrail.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "alerttrail.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "alerttrail.secret" -}}
{{ .Values.secret.existing | default (include "alerttrail.name" .) }}
{{- end -}}
