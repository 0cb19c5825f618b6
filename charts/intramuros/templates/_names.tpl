{{- define "intramuros.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 35 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 35 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: what selectors select by. Takes (list $ component). */}}
{{- define "intramuros.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of everything. Takes (list $ component); component may be "". */}}
{{- define "intramuros.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* Takes (list $ name). */}}
{{- define "intramuros.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $image := $root.Values.image -}}
{{- $base := printf "%s/%s/%s" $image.registry $image.repository $name -}}
{{- with index $image.digests $name -}}
{{ $base }}@{{ . }}
{{- else -}}
{{ $base }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "intramuros.serviceAccount" -}}
{{ include "intramuros.fullname" . }}-gateway
{{- end -}}

{{/* The Secret of a certificate. Takes (list $ name). */}}
{{- define "intramuros.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $existing := index $root.Values.tls.existingSecrets $name -}}
{{- if and $existing (or (eq (include "intramuros.tlsMode" $root) "secrets") (eq $name "https")) -}}
{{ $existing }}
{{- else if eq (include "intramuros.tlsMode" $root) "secrets" -}}
{{- fail (printf "tls.mode is secrets, and tls.existingSecrets.%s is empty: name a Secret with tls.key, tls.crt and ca.crt, or set tls.mode to helm or certManager." $name) -}}
{{- else -}}
{{ include "intramuros.fullname" $root }}-tls-{{ $name }}
{{- end -}}
{{- end -}}
