{{/*
Refuses ways out that are too wide. Takes (list $ where cidrs). A /8 holds 2^24 addresses; all ways out together may hold two of them, so that no
number of small pieces opens the walls.
*/}}
{{- define "intramuros.guard" -}}
{{- $root := index . 0 -}}
{{- $where := index . 1 -}}
{{- if not $root.Values.walls.iKnowThisOpensTheWalls -}}
{{- range index . 2 -}}
{{- if not (regexMatch "^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}/([0-2]?[0-9]|3[0-2])|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/([0-9]?[0-9]|1[01][0-9]|12[0-8]))$" .) -}}
{{- fail (printf "%s: %q is no CIDR, as 10.1.2.3/32." $where .) -}}
{{- end -}}
{{- $length := regexReplaceAll "^.*/" . "" | int -}}
{{- if lt $length (contains ":" . | ternary 32 8) -}}
{{- fail (printf "%s: %s is wider than a %s: that opens the walls, and prompts could leave by it. Name the addresses that are needed. If it really must be, set walls.iKnowThisOpensTheWalls to true." $where . (contains ":" . | ternary "/32" "/8")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The CIDRs of a list of {host, cidr, ports}, with a length. Takes the list. */}}
{{- define "intramuros.cidr" -}}
{{- if contains "/" . -}}{{ . }}{{- else if contains ":" . -}}{{ . }}/128{{- else -}}{{ . }}/32{{- end -}}
{{- end -}}

{{/* Egress rules to destinations. Takes (list $ where destinations). */}}
{{- define "intramuros.egressTo" -}}
{{- $root := index . 0 -}}
{{- $where := index . 1 -}}
{{- range index . 2 }}
{{- $cidr := include "intramuros.cidr" .cidr }}
{{- include "intramuros.guard" (list $root $where (list $cidr)) }}
- to:
    - ipBlock: { cidr: {{ $cidr | quote }} }
  ports:
    {{- range .ports }}
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
{{- end }}
{{- end -}}

{{/* Where the API server is: (dict "cidrs" list "ports" list) as JSON, by value or found in the cluster. */}}
{{- define "intramuros.apiServer" -}}
{{- $given := .Values.walls.apiServer -}}
{{- $cidrs := list -}}
{{- $ports := list -}}
{{- $targets := list -}}
{{- if $given.cidrs -}}
{{- range $given.cidrs -}}{{- $cidrs = append $cidrs (include "intramuros.cidr" .) -}}{{- end -}}
{{- $ports = $given.ports -}}
{{- else -}}
{{- $service := lookup "v1" "Service" "default" "kubernetes" -}}
{{- with $service -}}
{{- range (.spec.clusterIPs | default list) -}}{{- $cidrs = append $cidrs (include "intramuros.cidr" .) -}}{{- end -}}
{{- range .spec.ports -}}{{- $ports = append $ports (int .port) -}}{{- end -}}
{{- $targets = append $targets (dict "address" .spec.clusterIP "port" (int (first .spec.ports).port)) -}}
{{- end -}}
{{- $slices := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "" -}}
{{- range ($slices.items | default list) -}}
{{- if eq (dig "metadata" "labels" "kubernetes.io/service-name" "" .) "kubernetes" -}}
{{- $own := list -}}
{{- range (.ports | default list) -}}{{- $own = append $own (int .port) -}}{{- end -}}
{{- $ports = concat $ports $own -}}
{{- range (.endpoints | default list) -}}
{{- range .addresses -}}
{{- $cidrs = append $cidrs (include "intramuros.cidr" .) -}}
{{- $targets = append $targets (dict "address" . "port" (first $own)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $cidrs -}}
{{- fail "The API server's addresses could not be found: the chart is only rendered, or may not read the Service and the EndpointSlices `kubernetes` of the namespace default. Name them in walls.apiServer.cidrs (kubectl get endpointslices -n default; and the ClusterIP: kubectl get service kubernetes)." -}}
{{- end -}}
{{- end -}}
{{- include "intramuros.guard" (list . "walls.apiServer.cidrs" $cidrs) -}}
{{- dict "cidrs" (uniq $cidrs) "ports" (uniq $ports) "targets" $targets | toJson -}}
{{- end -}}

{{/* Head of a policy of a component's pods. Takes (list $ component types). */}}
{{- define "intramuros.policyHead" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "intramuros.fullname" $root }}-{{ $component }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "intramuros.labels" (list $root $component) | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "intramuros.selector" (list $root $component) | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end -}}

{{/* A peer: pods of a component. Takes (list $ component). */}}
{{- define "intramuros.peer" -}}
- podSelector:
    matchLabels: {{- include "intramuros.selector" . | nindent 6 }}
{{- end -}}

{{/* Ingress of the metrics scraper. Takes (list $ port). */}}
{{- define "intramuros.metricsIngress" -}}
{{- with (index . 0).Values.walls.metricsFrom }}
- from: {{- toYaml . | nindent 4 }}
  ports: [{ protocol: TCP, port: {{ index $ 1 }} }]
{{- end }}
{{- end -}}

{{/* Refuses what is narrow enough piece by piece and too wide together. Takes $. */}}
{{- define "intramuros.guardTogether" -}}
{{- if not .Values.walls.iKnowThisOpensTheWalls -}}
{{- $cidrs := .Values.walls.apiServer.cidrs | default list -}}
{{- range concat .Values.gateway.outside .Values.audit.outside -}}{{- $cidrs = append $cidrs .cidr -}}{{- end -}}
{{- $cidrs = concat $cidrs .Values.audit.postgres.addresses -}}
{{- range .Values.pools -}}{{- range (dig "source" "loader" "outside" list .) -}}{{- $cidrs = append $cidrs .cidr -}}{{- end -}}{{- end -}}
{{- $held := 0 -}}
{{- range $cidrs -}}
{{- $cidr := include "intramuros.cidr" . -}}
{{- if not (contains ":" $cidr) -}}
{{- $size := 1 -}}
{{- range until (sub 32 (regexReplaceAll "^.*/" $cidr "" | int) | int) -}}{{- $size = mul 2 $size -}}{{- end -}}
{{- $held = add $held $size -}}
{{- end -}}
{{- end -}}
{{- if gt (int64 $held) 33554432 -}}
{{- fail (printf "The ways out of gateway.outside, audit.outside, audit.postgres.addresses, walls.apiServer.cidrs and the loaders hold %d addresses together, more than two /8: that opens the walls. Name the addresses that are needed. If it really must be, set walls.iKnowThisOpensTheWalls to true." (int64 $held)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
