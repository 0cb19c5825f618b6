{{/* Labels of a pool's workers. Takes (list $ pool). */}}
{{- define "intramuros.workerLabels" -}}
{{- include "intramuros.labels" (list (index . 0) "inference-worker") }}
intramuros.io/pool: {{ (index . 1).name }}
{{- end -}}

{{- define "intramuros.workerSelector" -}}
{{- include "intramuros.selector" (list (index . 0) "inference-worker") }}
intramuros.io/pool: {{ (index . 1).name }}
{{- end -}}

{{/* Where a pool's pods may run. Takes (list $ pool). */}}
{{- define "intramuros.pinned" -}}
{{- $pool := index . 1 -}}
{{- with $pool.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pool.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pool.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pool.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $pool.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $pool.gpu.claims }}
resourceClaims:
  {{- range . }}
  - {{ omit . "request" | toJson }}
  {{- end }}
{{- end }}
{{- with $pool.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ mergeOverwrite (deepCopy .) (dict "labelSelector" (dict "matchLabels" (include "intramuros.workerSelector" $ | fromYaml))) | toJson }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Resources of the container that computes. Takes (list resources gpu). */}}
{{- define "intramuros.computeResources" -}}
{{- $resources := deepCopy (index . 0) -}}
{{- $gpu := index . 1 -}}
{{- if $gpu.resource -}}
{{- range $kind := list "requests" "limits" -}}
{{- $_ := set $resources $kind (mergeOverwrite (deepCopy (get $resources $kind | default dict)) (dict $gpu.resource (printf "%d" (int $gpu.count)))) -}}
{{- end -}}
{{- end -}}
{{- if $gpu.claims -}}
{{- $claims := list -}}
{{- range $gpu.claims -}}{{- $claims = append $claims (pick . "name" "request") -}}{{- end -}}
{{- $_ := set $resources "claims" $claims -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Spec of a worker's pod. Takes (list $ pool). */}}
{{- define "intramuros.workerPod" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $config := printf "%s-worker-%s" (include "intramuros.fullname" $root) $pool.name -}}
{{- $beside := eq $pool.engine "openai" -}}
{{ include "intramuros.podCommon" $root }}
securityContext: {{- include "intramuros.podSecurity" $pool.supplementalGroups | nindent 2 }}
terminationGracePeriodSeconds: {{ add $root.Values.drainSeconds 20 }}
{{- include "intramuros.pinned" . }}
containers:
  - name: worker
    image: {{ $pool.image | default (include "intramuros.image" (list $root (printf "worker-%s" $pool.device))) }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    securityContext: {{- include "intramuros.containerSecurity" $root | nindent 6 }}
    env:
      {{- include "intramuros.env" $root | nindent 6 }}
      {{- include "intramuros.listenEnv" (list $root "inference-worker") | nindent 6 }}
      - name: INTRAMUROS_INFERENCE_WORKER_MODEL
        value: {{ $pool.model.id | quote }}
    ports:
      - { name: grpc, containerPort: 50051 }
      - { name: metrics, containerPort: 9463 }
    {{- include "intramuros.probes" (dict "startPath" "/readyz" "startSeconds" $pool.startSeconds) | nindent 4 }}
    lifecycle:
      # Until gateways know that it goes.
      preStop: { sleep: { seconds: 3 } }
    resources: {{- include "intramuros.computeResources" (list $pool.resources ($beside | ternary (dict "resource" "" "claims" list) $pool.gpu)) | nindent 6 }}
    volumeMounts:
      {{- include "intramuros.commonMounts" (list $root $config "inference-worker") | nindent 6 }}
      - { name: home, mountPath: /var/lib/intramuros }
      {{- include "intramuros.modelMount" $pool | nindent 6 }}
      {{- if $root.Values.modelKeySecret }}
      - { name: model-key, mountPath: /etc/intramuros/model-key, readOnly: true }
      - { name: memory, mountPath: /dev/shm }
      {{- end }}
  {{- if $beside }}
  {{- include "intramuros.serverContainer" (list $root $pool false) | nindent 2 }}
  {{- end }}
volumes:
  {{- include "intramuros.commonVolumes" (list $root $config "inference-worker") | nindent 2 }}
  {{- include "intramuros.homeVolume" $root | nindent 2 }}
  {{- include "intramuros.modelVolume" (list $root $pool) | nindent 2 }}
  {{- if $root.Values.modelKeySecret }}
  - name: model-key
    secret: { secretName: {{ $root.Values.modelKeySecret }}, defaultMode: 0440 }
  - name: memory
    emptyDir: { medium: Memory, sizeLimit: {{ $root.Values.modelKeyMemory }} }
  {{- end }}
  {{- if $beside }}
  {{- include "intramuros.serverVolumes" (list $root $pool) | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The server beside a worker, or in a further pod of it. Takes (list $ pool service-of-the-leader-or-false). */}}
{{- define "intramuros.serverContainer" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $leader := index . 2 -}}
{{- $server := $pool.server -}}
- name: server
  image: {{ $server.image }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  securityContext: {{- include "intramuros.containerSecurity" $root | nindent 4 }}
  {{- with not (not $leader) | ternary $pool.nodes.command $server.command }}
  command: {{ toJson . }}
  {{- end }}
  {{- with not (not $leader) | ternary $pool.nodes.args $server.args }}
  args: {{ toJson . }}
  {{- end }}
  env:
    - { name: HOME, value: /tmp }
    - name: POD_IP
      valueFrom: { fieldRef: { fieldPath: status.podIP } }
    {{- if $leader }}
    # The kubelet's own way of telling Services' addresses: there is no DNS.
    - { name: LEADER_ADDRESS, value: $({{ $leader | upper | replace "-" "_" }}_SERVICE_HOST) }
    {{- end }}
    {{- with $server.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if and (not $leader) $server.liveness }}
  # It listens on the pod's loopback, where only a program in the container can ask it.
  livenessProbe:
    exec: { command: {{ toJson $server.liveness }} }
    initialDelaySeconds: {{ $pool.startSeconds }}
    periodSeconds: 15
    timeoutSeconds: 10
    failureThreshold: 4
  {{- end }}
  resources: {{- include "intramuros.computeResources" (list $server.resources $pool.gpu) | nindent 4 }}
  volumeMounts:
    - { name: weights, mountPath: /weights, readOnly: true }
    - { name: server-memory, mountPath: /dev/shm }
    - { name: server-tmp, mountPath: /tmp }
{{- end -}}

{{- define "intramuros.serverVolumes" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- with $pool.server.weightsClaim }}
- name: weights
  persistentVolumeClaim: { claimName: {{ . }}, readOnly: true }
{{- else }}
{{ include "intramuros.modelVolume" (list $root $pool) | replace (printf "name: model-%s" $pool.name) "name: weights" }}
{{- end }}
- name: server-memory
  emptyDir: { medium: Memory, sizeLimit: {{ $pool.server.sharedMemory }} }
- name: server-tmp
  emptyDir: { sizeLimit: 4Gi }
{{- end -}}
