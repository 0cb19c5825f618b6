{{/*
Refuses a pool that no node of the cluster could ever run, and says why. Nothing is known, and nothing refused, where nodes can't be asked for.
What other pods take is not looked at: that changes.
*/}}
{{- define "intramuros.pinningCheck" -}}
{{- if .Values.pinning.check -}}
{{- $nodes := (lookup "v1" "Node" "" "").items | default list -}}
{{- if $nodes -}}
{{- range $pool := include "intramuros.pools" . | fromYamlArray -}}
{{- $met := dict -}}
{{- $fits := 0 -}}
{{- range $node := $nodes -}}
{{- $unmet := 0 -}}
{{- range $text, $good := include "intramuros.nodeMeets" (list $pool $node) | fromJson -}}
{{- $_ := set $met $text (add (get $met $text | default 0) (ternary 1 0 $good)) -}}
{{- if not $good -}}{{- $unmet = add $unmet 1 -}}{{- end -}}
{{- end -}}
{{- if eq (int $unmet) 0 -}}{{- $fits = add $fits 1 -}}{{- end -}}
{{- end -}}
{{- if lt (int $fits) (ternary (int $pool.nodes.count) 1 (and (gt (int $pool.nodes.count) 1) (ne (len $pool.gpu.resource) 0))) -}}
{{- $told := list -}}
{{- range $text, $count := $met -}}{{- $told = append $told (printf "  %s: %d of %d nodes" $text (int $count) (len $nodes)) -}}{{- end -}}
{{- fail (printf "pools.%s can run on %d of the cluster's %d nodes, so its workers would wait for ever. What it asks for, and which nodes meet it:\n%s\nChange the pool's nodeSelector, tolerations, affinity or gpu, or the nodes. With nodes that are yet to come (an autoscaler), set pinning.check to false." $pool.name (int $fits) (len $nodes) (join "\n" $told)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a pool asks of a node, each with whether the node has it, as JSON. Takes (list pool node). */}}
{{- define "intramuros.nodeMeets" -}}
{{- $pool := index . 0 -}}
{{- $node := index . 1 -}}
{{- $labels := dig "metadata" "labels" dict $node -}}
{{- $met := dict -}}
{{- range $key, $value := $pool.nodeSelector -}}
{{- $_ := set $met (printf "label %s=%s" $key $value) (and (hasKey $labels $key) (eq (get $labels $key) $value)) -}}
{{- end -}}
{{- with $pool.gpu -}}
{{- if .resource -}}
{{- $has := dig "status" "allocatable" dict $node -}}
{{- $_ := set $met (printf "resource %s, at least %d" .resource (int .count)) (ge (get $has .resource | default "0" | int) (int .count)) -}}
{{- end -}}
{{- end -}}
{{- $terms := dig "nodeAffinity" "requiredDuringSchedulingIgnoredDuringExecution" "nodeSelectorTerms" list $pool.affinity -}}
{{- if $terms -}}
{{- $any := false -}}
{{- range $terms -}}
{{- $all := true -}}
{{- range .matchExpressions | default list -}}
{{- $is := get $labels .key -}}
{{- $in := and (hasKey $labels .key) (has $is (.values | default list)) -}}
{{- if eq .operator "In" -}}{{- $all = and $all $in -}}
{{- else if eq .operator "NotIn" -}}{{- $all = and $all (not $in) -}}
{{- else if eq .operator "Exists" -}}{{- $all = and $all (hasKey $labels .key) -}}
{{- else if eq .operator "DoesNotExist" -}}{{- $all = and $all (not (hasKey $labels .key)) -}}
{{- end -}}
{{- end -}}
{{- $any = or $any $all -}}
{{- end -}}
{{- $_ := set $met "the required node affinity" $any -}}
{{- end -}}
{{- $tolerated := true -}}
{{- range $taint := dig "spec" "taints" list $node -}}
{{- if has $taint.effect (list "NoSchedule" "NoExecute") -}}
{{- $this := has $taint.key (list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" "node.kubernetes.io/unschedulable" "node.kubernetes.io/memory-pressure" "node.kubernetes.io/disk-pressure") -}}
{{- range $pool.tolerations -}}
{{- $key := .key | default "" -}}
{{- $operator := .operator | default "Equal" -}}
{{- $effect := .effect | default "" -}}
{{- $fitsKey := or (eq $key $taint.key) (and (eq $key "") (eq $operator "Exists")) -}}
{{- $fitsValue := or (eq $operator "Exists") (eq (.value | default "") (get $taint "value" | default "")) -}}
{{- if and $fitsKey $fitsValue (or (eq $effect "") (eq $effect $taint.effect)) -}}{{- $this = true -}}{{- end -}}
{{- end -}}
{{- $tolerated = and $tolerated $this -}}
{{- end -}}
{{- end -}}
{{- $_ := set $met "taints that the pool tolerates" $tolerated -}}
{{- toJson $met -}}
{{- end -}}
