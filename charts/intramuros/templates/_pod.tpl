{{/*
What each pod has in common. There is no name server: whoever asks for a name gets no answer at once. The address is the pod's own loopback.
*/}}
{{- define "intramuros.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{ include "intramuros.podWalls" . }}
{{- end -}}

{{- define "intramuros.podWalls" -}}
dnsPolicy: None
dnsConfig:
  nameservers: [{{ if eq .Values.network.family "IPv6" }}"::1"{{ else }}"127.0.0.1"{{ end }}]
  options:
    - { name: attempts, value: "1" }
    - { name: timeout, value: "1" }
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes a list of further groups. */}}
{{- define "intramuros.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
{{- with . }}
supplementalGroups: {{ toJson . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "intramuros.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
privileged: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "intramuros.env" -}}
- name: INTRAMUROS_HOME
  value: /var/lib/intramuros
- name: INTRAMUROS_CONFIG
  value: /etc/intramuros/intramuros.yaml
{{- end -}}

{{/*
Where a component listens: of its own pods alone, since in one configuration no two may have the same port. Takes (list $ component).
*/}}
{{- define "intramuros.listenEnv" -}}
- name: INTRAMUROS_{{ index . 1 | upper | replace "-" "_" }}_LISTEN
  value: {{ include "intramuros.grpcListen" (index . 0) | quote }}
{{- end -}}

{{/* Takes (list $ configMap names of certificates…). */}}
{{- define "intramuros.commonMounts" -}}
- name: config
  mountPath: /etc/intramuros/intramuros.yaml
  subPath: intramuros.yaml
  readOnly: true
{{- range (slice . 2) }}
- name: tls-{{ . }}
  mountPath: /etc/intramuros/tls/{{ . }}
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- define "intramuros.commonVolumes" -}}
{{- $root := index . 0 -}}
- name: config
  configMap:
    name: {{ index . 1 }}
{{- range (slice . 2) }}
- name: tls-{{ . }}
  secret:
    secretName: {{ include "intramuros.tlsSecret" (list $root .) }}
    defaultMode: 0440
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{/* Where services keep what needs not outlive them. */}}
{{- define "intramuros.homeVolume" -}}
- name: home
  emptyDir:
    sizeLimit: 256Mi
{{- end -}}

{{/* Takes (dict "startPath" "startSeconds"). */}}
{{- define "intramuros.probes" -}}
startupProbe:
  httpGet: { path: {{ .startPath }}, port: metrics }
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: {{ div (add .startSeconds 1) 2 }}
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /livez, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 4
{{- end -}}

{{/* Names for addresses, since there is no DNS. Takes a list of {host, cidr}. */}}
{{- define "intramuros.hostAliases" -}}
{{- $aliases := list -}}
{{- range . -}}
{{- if .host -}}

{{- if and (contains "/" .cidr) (not (hasSuffix "/32" .cidr)) (not (hasSuffix "/128" .cidr)) -}}{{- fail (printf "outside: %s has the cidr %s: with a host it must be one address (/32 or /128)." .host .cidr) -}}{{- end -}}
{{- $aliases = append $aliases (dict "ip" (regexReplaceAll "/.*$" .cidr "") "hostnames" (list .host)) -}}
{{- end -}}
{{- end -}}
{{- if $aliases -}}
hostAliases:
  {{- toYaml $aliases | nindent 2 }}
{{- end -}}
{{- end -}}
