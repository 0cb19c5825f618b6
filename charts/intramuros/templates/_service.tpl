{{/* A headless Service, whose EndpointSlices gateways find a component by. Takes (list $ component). */}}
{{- define "intramuros.peerService" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "intramuros.fullname" $root }}-{{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "intramuros.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  clusterIP: None
  selector:
    {{- include "intramuros.selector" . | nindent 4 }}
    intramuros.io/serving: "true"
  ports:
    - { name: grpc, port: 50051, targetPort: grpc, protocol: TCP }
{{- end -}}

{{/* Takes (dict "root" "component" "name" "kind"). */}}
{{- define "intramuros.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "intramuros.labels" (list .root .component) | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "intramuros.selector" (list .root .component) | nindent 6 }}
      intramuros.io/serving: "true"
      {{- with .pool }}
      intramuros.io/pool: {{ . }}
      {{- end }}
{{- end -}}

{{/* Scaling on CPU. Takes (dict "root" "component" "settings"). */}}
{{- define "intramuros.cpuAutoscaler" -}}
{{- $name := printf "%s-%s" (include "intramuros.fullname" .root) .component -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "intramuros.labels" (list .root .component) | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicas: {{ .settings.min }}
  maxReplicas: {{ .settings.max }}
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: {{ .settings.cpu }} } }
{{- end -}}

{{/* Pods of a component rather on several nodes. Takes (list $ component). */}}
{{- define "intramuros.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "intramuros.selector" . | nindent 8 }}
{{- end -}}
