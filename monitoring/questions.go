package monitoring

import (
	"fmt"
	"strings"
)

// Question is what an operator asks, and the one query that answers it.
type Question struct {
	Text string
	Expr string // a rate is over five minutes
}

// Questions returns what operators ask. docs/operations.md lists them, and a test asks them of a running system.
func Questions() []Question {
	return []Question{
		{"How long do answers take? (p99, by priority)", `histogram_quantile(0.99, sum by (le, priority) (rate(resnet18_dispatcher_request_duration_seconds_bucket[5m])))`},
		{"Where is the time spent? (p99, by stage)", `histogram_quantile(0.99, sum by (le, stage) (rate(resnet18_dispatcher_stage_duration_seconds_bucket[5m])))`},
		{"How long does a submission take? (p99, by endpoint)", `histogram_quantile(0.99, sum by (le, route) (rate(resnet18_dispatcher_http_request_duration_seconds_bucket{` + submissions + `,status="2xx"}[5m])))`},
		{"What share of requests fails, and why?", `sum by (code) (rate(resnet18_dispatcher_http_errors_total{method="POST"}[5m])) / scalar(sum(rate(resnet18_dispatcher_http_request_duration_seconds_count{` + submissions + `}[5m]))) > 0`},
		{"What share of accepted images fails, and why?", `sum by (outcome) (rate(resnet18_dispatcher_requests_ended_total{outcome!~"completed|cached"}[5m])) / scalar(sum(rate(resnet18_dispatcher_requests_ended_total[5m]))) > 0`},
		{"How many images wait, over all dispatchers?", `sum(max by (queue, priority) (resnet18_dispatcher_queue_waiting * on (job, instance) group_left (queue) resnet18_dispatcher_queue_info))`},
		{"How full is the queue, and each other resource?", `label_replace(resnet18:queue:fill_ratio, "of", "queue", "", "") or label_replace(sum(resnet18_dispatcher_jobs_working) / sum(resnet18_dispatcher_slots), "of", "slots", "", "") or label_replace(max(resnet18_dispatcher_upload_bytes / resnet18_dispatcher_upload_capacity_bytes), "of", "upload memory", "", "") or label_replace(max(resnet18_dispatcher_connections / resnet18_dispatcher_connections_capacity), "of", "connections", "", "") or label_replace(max(resnet18_dispatcher_storage_bytes / resnet18_dispatcher_storage_capacity_bytes), "of", "storage", "", "")`},
		{"How busy are the replicas?", `sum(rate(resnet18_replica_busy_seconds_total[5m])) / sum(resnet18_replica_slots)`},
		{"What share comes from the cache?", `sum(rate(resnet18_dispatcher_cache_hits_total[5m])) / (sum(rate(resnet18_dispatcher_cache_hits_total[5m])) + sum(rate(resnet18_dispatcher_cache_misses_total[5m])))`},
		{"Are there as many replicas as wanted? (desired minus ready)", `max(resnet18_autoscaler_desired_replicas) - max(resnet18_autoscaler_ready_replicas)`},
		{"How wrong are estimated waits? (mean, above 0: results come earlier)", `(sum(rate(resnet18_dispatcher_estimate_error_seconds_sum{direction="early"}[5m])) - sum(rate(resnet18_dispatcher_estimate_error_seconds_sum{direction="late"}[5m]))) / sum(rate(resnet18_dispatcher_estimate_error_seconds_count[5m]))`},
		{"How many cold starts were there in an hour?", `sum(increase(resnet18_autoscaler_replica_start_duration_seconds_count[1h]))`},
		{"How long do they take? (mean)", `sum(rate(resnet18_autoscaler_replica_start_duration_seconds_sum[1h])) / sum(rate(resnet18_autoscaler_replica_start_duration_seconds_count[1h]))`},
		{"Are queue, results and NATS well? (1 is yes)", `min(resnet18_dispatcher_storage_writable * on (job, instance) resnet18_dispatcher_nats_connected)`},
		{"Which versions run?", `count by (version, revision) ({__name__=~"resnet18_.+_build_info"})`},
		{"Do int8 and fp32 agree? (share of equal labels)", `sum(rate(resnet18_replica_quantization_compared_total{equal="true"}[1h])) / sum(rate(resnet18_replica_quantization_compared_total[1h]))`},
	}
}

// QuestionTable returns the questions as a table in Markdown.
func QuestionTable() string {
	text := "| question | query |\n| --- | --- |\n"
	for _, q := range Questions() {
		text += fmt.Sprintf("| %s | `%s` |\n", q.Text, strings.ReplaceAll(q.Expr, "|", `\|`))
	}
	return text
}
