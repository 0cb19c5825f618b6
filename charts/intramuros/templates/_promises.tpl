{{/*
Refuses values that would take a promise back without anybody noticing, unless a second switch says that it is meant. Ways out: _walls.tpl. Takes $.
*/}}
{{- define "intramuros.promises" -}}
{{- $v := .Values -}}
{{- if and (include "intramuros.unrecordedAllowed" .) (not $v.audit.iAcceptUnrecordedAnswers) -}}
{{- fail "config.audit.onFailure is allow: requests would be answered while they cannot be recorded. If that is really wanted, set audit.iAcceptUnrecordedAnswers to true as well; else leave config.audit.onFailure out." -}}
{{- end -}}
{{- if not $v.walls.iKnowThisOpensTheWalls -}}
{{- if not $v.walls.enabled -}}
{{- fail "walls.enabled is false: there would be no NetworkPolicies, and prompts could leave. If somebody else sees to it, set walls.iKnowThisOpensTheWalls to true as well." -}}
{{- end -}}
{{- if and (eq $v.isolation.selfCheck "off") (not $v.isolation.check.enabled) -}}
{{- fail "isolation.selfCheck is off and isolation.check.enabled is false: where the cluster does not enforce NetworkPolicies, nobody would notice. Leave one of them on; or, if the walls really need not hold, set walls.iKnowThisOpensTheWalls to true." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What holds prompts or keys in memory that nodes with swap may put on a disk, as a list of YAML. Takes $. */}}
{{- define "intramuros.swappable" -}}
{{- $found := list -}}
{{- $resources := dict "gateway" .Values.gateway.resources "tokenizer" .Values.tokenizer.resources "audit" .Values.audit.resources -}}
{{- range include "intramuros.pools" . | fromYamlArray -}}
{{- $_ := set $resources (printf "pools.%s" .name) .resources -}}
{{- if eq .engine "openai" -}}{{- $_ := set $resources (printf "pools.%s.server" .name) .server.resources -}}{{- end -}}
{{- end -}}
{{- range $name, $of := $resources -}}
{{- $limit := dig "limits" "memory" "none" $of | toString -}}
{{- if or (eq $limit "none") (ne (dig "requests" "memory" $limit $of | toString) $limit) -}}{{- $found = append $found $name -}}{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* "true" where gateways are to answer without a record. */}}
{{- define "intramuros.unrecordedAllowed" -}}
{{- if eq (dig "audit" "onFailure" "" .Values.config | toString) "allow" -}}true{{- end -}}
{{- end -}}
