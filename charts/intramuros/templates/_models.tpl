{{/* Name of the claim of a pool's model. Takes (list $ pool). */}}
{{- define "intramuros.modelClaim" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- if eq $pool.sourceKind "claim" -}}
{{ $pool.source.claim }}
{{- else if eq $pool.sourceKind "hostPath" -}}
{{ include "intramuros.fullname" $root }}-model-{{ $pool.name }}-{{ $pool.source.hostPath | sha256sum | trunc 6 }}
{{- else -}}
{{ $pool.source.loader.claim | default (printf "%s-model-%s" (include "intramuros.fullname" $root) $pool.name) }}
{{- end -}}
{{- end -}}

{{/* The volume of a pool's model. Takes (list $ pool). */}}
{{- define "intramuros.modelVolume" -}}
{{- $pool := index . 1 -}}
- name: model-{{ $pool.name }}
{{- if eq $pool.sourceKind "image" }}
  image:
    reference: {{ $pool.source.image }}
    pullPolicy: IfNotPresent
{{- else }}
  persistentVolumeClaim:
    claimName: {{ include "intramuros.modelClaim" . }}
    readOnly: true
{{- end }}
{{- end -}}

{{- define "intramuros.modelMount" -}}
- name: model-{{ .name }}
  mountPath: /models/{{ .name }}
  readOnly: true
{{- end -}}
