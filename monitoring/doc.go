// Package monitoring describes how to watch the system with Prometheus and Grafana: the dashboard, and the recording and alerting
// rules on the metrics that dispatchers, replicas and autoscalers export. Its tests compare the committed files with it, and
// run every query against a real Prometheus.
package monitoring
