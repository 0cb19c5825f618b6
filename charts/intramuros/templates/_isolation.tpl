{{/* The pod of an isolation check. Takes (dict "root" "component" "pool" "args" "account"). */}}
{{- define "intramuros.isolationJob" -}}
{{- $root := .root -}}
{{- $collector := eq .component "gateway" -}}
{{- $config := printf "%s-config" (include "intramuros.fullname" $root) -}}
backoffLimit: 0
activeDeadlineSeconds: 900
template:
  metadata:
    labels:
      {{- include "intramuros.labels" (list $root .component) | nindent 6 }}
      {{- with .pool }}
      intramuros.io/pool: {{ . }}
      {{- end }}
      {{- if not $collector }}
      intramuros.io/probe: "true"
      {{- end }}
  spec:
    restartPolicy: Never
    {{- if $collector }}
    serviceAccountName: {{ include "intramuros.serviceAccount" $root }}
    automountServiceAccountToken: true
    enableServiceLinks: false
    {{- include "intramuros.podWalls" $root | nindent 4 }}
    {{- else }}
    {{- include "intramuros.podCommon" $root | nindent 4 }}
    {{- end }}
    securityContext:
      {{- include "intramuros.podSecurity" list | nindent 6 }}
      # Ping without rights.
      sysctls: [{ name: net.ipv4.ping_group_range, value: "0 2147483647" }]
    containers:
      - name: probe
        image: {{ include "intramuros.image" (list $root "probe") }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        command: [/usr/local/bin/intramuros]
        args: {{ concat (list "probe") .args (list "--node" "$(NODE_IP)") | toJson }}
        securityContext: {{- include "intramuros.containerSecurity" $root | nindent 10 }}
        env:
          {{- include "intramuros.env" $root | nindent 10 }}
          {{- if not $collector }}
          {{- include "intramuros.listenEnv" (list $root .component) | nindent 10 }}
          {{- end }}
          - name: NODE_IP
            valueFrom: { fieldRef: { fieldPath: status.hostIP } }
        {{- if not $collector }}
        ports: [{ name: grpc, containerPort: 50051 }]
        {{- end }}
        resources:
          requests: { cpu: 50m, memory: 128Mi, ephemeral-storage: 128Mi }
          limits: { cpu: 500m, memory: 384Mi, ephemeral-storage: 1Gi }
        volumeMounts:
          {{- include "intramuros.commonMounts" (list $root $config .component) | nindent 10 }}
          - { name: home, mountPath: /var/lib/intramuros }
    volumes:
      {{- include "intramuros.commonVolumes" (list $root $config .component) | nindent 6 }}
      {{- include "intramuros.homeVolume" $root | nindent 6 }}
{{- end -}}

{{/* Takes as isolationJob, and "name". */}}
{{- define "intramuros.isolationCronJob" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "intramuros.labels" (list .root "isolation") | nindent 4 }}
    intramuros.io/isolation: {{ eq .component "gateway" | ternary "collector" "probe" }}
spec:
  schedule: {{ .root.Values.isolation.check.schedule | quote }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 600
  successfulJobsHistoryLimit: 2
  failedJobsHistoryLimit: 7
  jobTemplate:
    metadata:
      labels: {{- include "intramuros.labels" (list .root "isolation") | nindent 8 }}
    spec: {{- include "intramuros.isolationJob" . | nindent 6 }}
{{- end -}}
