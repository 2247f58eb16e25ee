{{- /* Labels of an object: .app is the part, .root the chart's values. */ -}}
{{- define "resnet18cloud.labels" -}}
{{ with get . "app" }}app: {{ . }}
{{ end -}}
app.kubernetes.io/part-of: resnet18cloud
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "resnet18cloud.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "resnet18cloud.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "resnet18cloud.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Requests and limits, with ephemeral storage where it is reserved. */ -}}
{{- define "resnet18cloud.resources" -}}
{{- $r := deepCopy .resources -}}
{{- if .root.Values.highAvailability -}}
{{- $r = mergeOverwrite (dict "requests" (dict "ephemeral-storage" "64Mi") "limits" (dict "ephemeral-storage" "256Mi")) $r -}}
{{- end -}}
{{- toYaml $r -}}
{{- end }}

{{- /* 84 % of a memory limit in Mi or Gi, for Go's garbage collector. */ -}}
{{- define "resnet18cloud.goMemoryLimit" -}}
{{- $mib := trimSuffix "Mi" . -}}
{{- if hasSuffix "Gi" . -}}{{- $mib = mul (int (trimSuffix "Gi" .)) 1024 -}}{{- end -}}
{{- div (mul (int $mib) 84) 100 -}}MiB
{{- end }}

{{- /* Prefers another node for each pod of a part. */ -}}
{{- define "resnet18cloud.antiAffinity" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: {{ .weight }}
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {app: {{ .app }}}
{{- end }}

{{- define "resnet18cloud.spread" -}}
- maxSkew: 1
  topologyKey: {{ .key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {app: {{ .app }}}
{{- end }}

{{- define "resnet18cloud.env" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "resnet18cloud.tracing" -}}
{{- if .endpoint }}
- {name: RESNET18_TRACE_ENDPOINT, value: {{ .endpoint | quote }}}
{{- with .sample }}
- {name: RESNET18_TRACE_SAMPLE, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "resnet18cloud.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the Prometheus operator scrapes of a pod: .port, with a key of the Secret .token unless that is empty. */ -}}
{{- define "resnet18cloud.scrape" -}}
- port: {{ .port }}
  {{- if .token }}
  authorization:
    credentials: {name: {{ .token }}, key: monitor.token}
  {{- end }}
  relabelings:
    - {targetLabel: job, replacement: resnet18}
{{- end }}
