{{- define "edgefleet.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "edgefleet.labels" -}}
app.kubernetes.io/part-of: edgefleet
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What all pods have; the argument is the number of the user. */}}
{{- define "edgefleet.pod" -}}
automountServiceAccountToken: false
# No variables such as BRIDGE_PORT, which would look like settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "edgefleet.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "edgefleet.claim" -}}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests: {storage: {{ . }}}
{{- end }}

{{/* Whether the bridge posts to the ingest of the chart: a backend of one's own is sent no token of ours. */}}
{{- define "edgefleet.ownIngest" -}}
{{- and .Values.ingest.enabled (eq "http://ingest:8000" (dig "http" "url" "" .Values.bridge.config)) -}}
{{- end }}

{{- define "edgefleet.bridgeConfig" -}}
{{- $config := deepCopy .Values.bridge.config -}}
{{- $http := $config.http | default dict -}}
{{- if and (eq (include "edgefleet.ownIngest" .) "true") (not (or $http.token $http.token_file $http.username)) -}}
{{- $_ := set $config.http "token_file" "/etc/edgefleet/ingest/ingest-token" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}
