{{/* The pools, each with what poolDefaults say, as a list of YAML. What can't be is refused here. */}}
{{- define "intramuros.pools" -}}
{{- $names := dict -}}
{{- $pools := list -}}
{{- if not .Values.pools -}}
{{- fail "pools is empty: name at least one model to serve, for example with `-f values-of-yours.yaml`; the chart's README.md has the shortest one." -}}
{{- end -}}
{{- range .Values.pools -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.poolDefaults) (deepCopy .) -}}
{{- if hasKey $names $pool.name -}}{{- fail (printf "pools: two are called %s; each needs a name of its own." $pool.name) -}}{{- end -}}
{{- $_ := set $names $pool.name true -}}
{{- $kinds := list -}}
{{- range $kind := list "claim" "hostPath" "image" "loader" -}}
{{- if hasKey $pool.source $kind -}}{{- $kinds = append $kinds $kind -}}{{- end -}}
{{- end -}}
{{- if ne (len $kinds) 1 -}}
{{- fail (printf "pools.%s.source has %d of claim, hostPath, image and loader: say exactly one place that its model comes from." $pool.name (len $kinds)) -}}
{{- end -}}
{{- $_ := set $pool "sourceKind" (first $kinds) -}}
{{- if and (eq $pool.engine "openai") (not $pool.server.image) -}}
{{- fail (printf "pools.%s has the engine openai and no server.image: say which server runs the model." $pool.name) -}}
{{- end -}}
{{- if and (gt (int $pool.nodes.count) 1) (ne $pool.engine "openai") -}}
{{- fail (printf "pools.%s is spread over %d nodes, which only a server of the engine openai can be." $pool.name (int $pool.nodes.count)) -}}
{{- end -}}
{{- if and (gt (int $pool.nodes.count) 1) (not $pool.nodes.command) -}}
{{- fail (printf "pools.%s is spread over %d nodes and has no nodes.command: say how its server is started in the pods after the first." $pool.name (int $pool.nodes.count)) -}}
{{- end -}}
{{- if and (gt (int $pool.nodes.count) 1) (ne $pool.autoscaling.kind "none") -}}
{{- fail (printf "pools.%s is spread over nodes: such a pool has no autoscaling." $pool.name) -}}
{{- end -}}
{{- if and (eq $pool.autoscaling.kind "keda") (not $pool.autoscaling.prometheus) -}}
{{- fail (printf "pools.%s.autoscaling.kind is keda and its prometheus is empty: say where Prometheus is." $pool.name) -}}
{{- end -}}
{{- if gt (int $pool.autoscaling.min) (int $pool.autoscaling.max) -}}
{{- fail (printf "pools.%s.autoscaling: min is %d and max %d." $pool.name (int $pool.autoscaling.min) (int $pool.autoscaling.max)) -}}
{{- end -}}
{{- if and $pool.gpu.resource $pool.gpu.claims -}}
{{- fail (printf "pools.%s.gpu has a resource and claims: say one of them." $pool.name) -}}
{{- end -}}
{{- $pools = append $pools $pool -}}
{{- end -}}
{{- toYaml $pools -}}
{{- end -}}

{{/* Where the volume of a pool's model is mounted, and the file in it. Takes a pool. */}}
{{- define "intramuros.modelPath" -}}
{{- $file := .model.file -}}
{{- if eq .sourceKind "loader" -}}
{{- if not .model.sha256 -}}{{- fail (printf "pools.%s.model has no sha256: a model that is fetched is served only if it is what it should be." .name) -}}{{- end -}}
{{- $file = printf "models/%s-%s" (trunc 12 .model.sha256) .model.file -}}
{{- else if .source.path -}}
{{- $file = trimPrefix "/" .source.path -}}
{{- end -}}
/models/{{ .name }}/{{ $file }}
{{- end -}}

{{/* An entry of the catalogue. Takes (list pool where). */}}
{{- define "intramuros.modelEntry" -}}
{{- $model := deepCopy (index . 0).model -}}
{{- if hasKey $model "size" -}}{{- $_ := set $model "size" (int64 $model.size) -}}{{- end -}}
{{- $_ := set $model "contextLength" (int64 $model.contextLength) -}}
{{- $_ := set $model "from" (index . 1) -}}
{{- toJson $model -}}
{{- end -}}

{{- define "intramuros.anyAddress" -}}
{{- if eq .Values.network.family "IPv6" }}::{{ else }}0.0.0.0{{ end -}}
{{- end -}}

{{- define "intramuros.grpcListen" -}}
{{- if eq .Values.network.family "IPv6" }}[::]:50051{{ else }}0.0.0.0:50051{{ end -}}
{{- end -}}

{{/*
intramuros.yaml. Takes (dict "root" $ "pools" all "pool" one or nothing): that of a pool's workers serves its model alone, with its settings.
*/}}
{{- define "intramuros.config" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $serve := list -}}
{{- $models := dict -}}
{{- range (ternary (list .pool) .pools (hasKey . "pool")) -}}
{{- $entry := include "intramuros.modelEntry" (list . (dict "path" (include "intramuros.modelPath" .))) | fromJson -}}
{{- if hasKey $models .model.id -}}
{{- if ne (toJson (omit $entry "from")) (toJson (omit (get $models .model.id) "from")) -}}{{- fail (printf "pools: two serve %s and describe it differently." .model.id) -}}{{- end -}}
{{- else -}}
{{- $_ := set $models .model.id $entry -}}
{{- $serve = append $serve .model.id -}}
{{- end -}}
{{- end -}}
{{- $entries := list -}}
{{- range $serve -}}{{- $entries = append $entries (get $models .) -}}{{- end -}}
{{- $own := dict
  "serve" $serve
  "models" $entries
  "metricsHost" (include "intramuros.anyAddress" $root)
  "drainSeconds" (int $v.drainSeconds)
  "sources" (dict "offline" true)
  "log" (dict "format" "json")
  "tls" (dict "folder" "/etc/intramuros/tls")
  "gateway" (dict
    "host" (include "intramuros.anyAddress" $root) "port" 8443 "metricsPort" 9464 "directory" "audit"
    "kubernetes" (dict "namespace" $root.Release.Namespace "selector" (printf "app.kubernetes.io/name=%s,app.kubernetes.io/instance=%s" $root.Chart.Name $root.Release.Name)))
  "tokenizer" (dict "metricsPort" 9462)
  "inferenceWorker" (dict "metricsPort" 9463)
  "audit" (dict "metricsPort" 9461 "directory" true "folder" "/var/lib/intramuros/audit" "keyFolder" "/var/lib/intramuros-key/audit-key")
-}}
{{- if $v.gateway.contentKeySecret -}}{{- $_ := set $own.gateway "contentKeyFolder" "/etc/intramuros/content-keys" -}}{{- end -}}
{{- with $v.audit.postgres -}}
{{- if .host -}}
{{- $postgres := dict "url" (printf "postgres://%s@%s:%d/%s" .user .host (int .port) .database) -}}
{{- if .passwordSecret -}}{{- $_ := set $postgres "passwordFile" "/etc/intramuros/postgres-password/password" -}}{{- end -}}
{{- if .caSecret -}}{{- $_ := set $postgres "caFile" "/etc/intramuros/postgres-ca/ca.crt" -}}{{- end -}}
{{- $_ := set $own.audit "postgres" $postgres -}}
{{- if .keySecret -}}{{- $_ := set $own.audit "keyFile" "/etc/intramuros/audit-key/log.key" -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if or (ne $v.isolation.selfCheck "off") $v.isolation.outside -}}
{{- $_ := set $own "isolation" (dict "selfCheck" $v.isolation.selfCheck "outside" $v.isolation.outside) -}}
{{- end -}}
{{- if $v.modelKeySecret -}}
{{- $_ := set $own "modelEncryption" (dict "keyFile" "/etc/intramuros/model-key/key" "memoryFolder" "/dev/shm") -}}
{{- end -}}
{{- with .pool -}}
{{- $settings := deepCopy .settings -}}
{{- $chosen := dict "model" .model.id "engine" .engine -}}
{{- if eq .engine "openai" -}}
{{- $_ := set $chosen "openai" (dict "url" (printf "http://127.0.0.1:%d" (int .server.port))) -}}
{{- else if not (hasKey $settings "gpu") -}}
{{- $_ := set $settings "gpu" (eq .device "cpu" | ternary "off" .device) -}}
{{- end -}}
{{- $_ := set $own "inferenceWorker" (mergeOverwrite $settings $own.inferenceWorker $chosen) -}}
{{- end -}}
{{- range $path := list "serve" "models" "metricsHost" "drainSeconds" "tls.folder" "gateway.host" "gateway.port" "gateway.metricsPort" "gateway.directory" "gateway.kubernetes" "tokenizer.listen" "tokenizer.metricsPort" "inferenceWorker.listen" "inferenceWorker.metricsPort" "inferenceWorker.model" "inferenceWorker.engine" "audit.listen" "audit.metricsPort" "audit.directory" "audit.folder" "audit.keyFolder" "audit.postgres" "isolation" "modelEncryption" -}}
{{- $at := $v.config -}}
{{- range $name := splitList "." $path -}}
{{- $at = ternary (get (default dict $at) $name) "" (kindIs "map" $at) -}}
{{- end -}}
{{- if not (kindIs "string" $at | and (empty $at)) -}}
{{- fail (printf "config.%s is set: the chart makes that setting itself, from its own values." $path) -}}
{{- end -}}
{{- end -}}
{{- /* An audit service that is updated or moved to another node is away for some seconds, in which no request need fail. */ -}}
{{- /* And a gateway serves on until nobody sends it new connections any more. */ -}}
{{- $patient := dict "gateway" (dict "drainDelaySeconds" 8) "audit" (dict "beginTimeoutSeconds" 45 "endTimeoutSeconds" 45) -}}
{{- $config := mergeOverwrite $patient (deepCopy $v.config) $own -}}
{{- toYaml $config -}}
{{- end -}}
