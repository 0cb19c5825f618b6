{{/* Who makes the certificates: helm, certManager or secrets. What Helm has begun it goes on with, also where cert-manager comes later. */}}
{{- define "intramuros.tlsMode" -}}
{{- if ne .Values.tls.mode "auto" -}}
{{ .Values.tls.mode }}
{{- else if lookup "v1" "Secret" .Release.Namespace (printf "%s-helm-ca" (include "intramuros.fullname" .)) -}}
helm
{{- else if .Capabilities.APIVersions.Has "cert-manager.io/v1" -}}
certManager
{{- else -}}
helm
{{- end -}}
{{- end -}}

{{/* Names of the certificates that are needed, as a JSON list. */}}
{{- define "intramuros.certificateNames" -}}
{{- $names := list "gateway" "tokenizer" "inference-worker" "audit" "cli" -}}
{{- if not (index .Values.tls.existingSecrets "https") -}}{{- $names = append $names "https" -}}{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* DNS names and addresses of a certificate, as JSON {dns, ips}. Takes (list $ name). */}}
{{- define "intramuros.certificateFor" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $dns := list -}}
{{- $ips := list -}}
{{- if eq $name "https" -}}
{{- $service := printf "%s-gateway" (include "intramuros.fullname" $root) -}}
{{- $dns = list "localhost" $service (printf "%s.%s" $service $root.Release.Namespace) (printf "%s.%s.svc" $service $root.Release.Namespace) -}}
{{- $ips = list "127.0.0.1" -}}
{{- range $root.Values.gateway.names -}}
{{- if regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$" . -}}{{- $ips = append $ips . -}}{{- else -}}{{- $dns = append $dns . -}}{{- end -}}
{{- end -}}
{{- else -}}
{{- $dns = list (printf "%s.intramuros.internal" $name) -}}
{{- end -}}
{{- dict "dns" (uniq $dns) "ips" (uniq $ips) | toJson -}}
{{- end -}}
