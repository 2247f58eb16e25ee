package monitoring

// Row is a row of the dashboard.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is a chart of one or more queries.
type Panel struct {
	Title   string
	Help    string // what to look for
	Unit    Unit
	Queries []Query
}

// Unit is that of a panel's values, as Grafana names it.
type Unit string

// The units.
const (
	PerSecond Unit = "reqps"
	Ratio     Unit = "percentunit"
	Seconds   Unit = "s"
	Bytes     Unit = "bytes"
	Count     Unit = "short"
)

// Query is one query of a panel.
type Query struct {
	Expr   string // PromQL; $__rate_interval is the window for rates, which Grafana chooses
	Legend string // name of a series, with labels as {{label}}
}

// Dashboard returns the rows of the dashboard: first what users feel, then why.
func Dashboard() []Row {
	return []Row{
		{"Traffic and errors", []Panel{
			{"Submissions", "Requests that bring images, by endpoint.", PerSecond, []Query{
				{`sum by (route) (rate(resnet18_dispatcher_http_request_duration_seconds_count{` + submissions + `}[$__rate_interval])) > 0`, "{{route}}"}}},
			{"Requests ended", "By outcome: completed, cached, cancelled, or the code of the failure.", PerSecond, []Query{
				{`sum by (outcome) (rate(resnet18_dispatcher_requests_ended_total[$__rate_interval])) > 0`, "{{outcome}}"}}},
			{"Failed submissions", "Share with a 5xx. The objective allows 0.1 %.", Ratio, []Query{
				{`resnet18:submissions:error_ratio_rate5m`, "5 min"}, {`resnet18:submissions:error_ratio_rate1h`, "1 h"}}},
			{"Errors by code", "All endpoints. The codes are explained in docs/api.md.", PerSecond, []Query{
				{`sum by (code) (rate(resnet18_dispatcher_http_errors_total[$__rate_interval])) > 0`, "{{code}}"}}},
			{"Refusals by limit", "Clients at one of their limits.", PerSecond, []Query{
				{`sum by (limit) (rate(resnet18_dispatcher_requests_limited_total[$__rate_interval]))`, "{{limit}}"}}},
			{"Attempts that failed", "At replicas; they are repeated elsewhere.", PerSecond, []Query{
				{`sum by (outcome) (rate(resnet18_dispatcher_forward_attempts_total{outcome!="completed"}[$__rate_interval])) > 0`, "{{outcome}}"},
				{`sum(rate(resnet18_dispatcher_retries_total[$__rate_interval]))`, "returned to the queue"}}},
		}},
		{"Latency", []Panel{
			{"From arrival to result", "Completed requests, by priority.", Seconds, []Query{
				{`histogram_quantile(0.5, sum by (le, priority) (rate(resnet18_dispatcher_request_duration_seconds_bucket[$__rate_interval])))`, "p50 {{priority}}"},
				{`histogram_quantile(0.99, sum by (le, priority) (rate(resnet18_dispatcher_request_duration_seconds_bucket[$__rate_interval])))`, "p99 {{priority}}"}}},
			{"p99 by stage", "queue is the time in which all replicas were busy; replica contains decode, preprocess and inference.", Seconds, []Query{
				{`histogram_quantile(0.99, sum by (le, stage) (rate(resnet18_dispatcher_stage_duration_seconds_bucket[$__rate_interval])))`, "{{stage}}"}}},
			{"Mean by stage", "Time per request that passed the stage.", Seconds, []Query{
				{`sum by (stage) (rate(resnet18_dispatcher_stage_duration_seconds_sum[$__rate_interval])) / sum by (stage) (rate(resnet18_dispatcher_stage_duration_seconds_count[$__rate_interval]))`, "{{stage}}"}}},
			{"Late interactive requests", "Share that takes over 0.5 s. The objective allows 5 %.", Ratio, []Query{
				{`resnet18:requests:late_ratio_rate5m`, "5 min"}, {`resnet18:requests:late_ratio_rate1h`, "1 h"}}},
			{"p99 of responses", "Until the response: /predict waits for the result, /predict_async does not.", Seconds, []Query{
				{`histogram_quantile(0.99, sum by (le, route) (rate(resnet18_dispatcher_http_request_duration_seconds_bucket{` + submissions + `}[$__rate_interval])))`, "{{route}}"}}},
			{"Error of estimated waits", "Mean; above 0, results come before their estimate. And what the slowest tenth of late results exceeds it by.", Seconds, []Query{
				{`(sum(rate(resnet18_dispatcher_estimate_error_seconds_sum{direction="early"}[$__rate_interval])) - sum(rate(resnet18_dispatcher_estimate_error_seconds_sum{direction="late"}[$__rate_interval]))) / sum(rate(resnet18_dispatcher_estimate_error_seconds_count[$__rate_interval]))`, "mean"},
				{`histogram_quantile(0.9, sum by (le) (rate(resnet18_dispatcher_estimate_error_seconds_bucket{direction="late"}[$__rate_interval])))`, "p90 of late ones"}}},
		}},
		{"Saturation", []Panel{
			{"Queue", "Waiting images, by priority; each queue once.", Count, []Query{{`resnet18:queue:waiting`, "{{priority}}"}}},
			{"How full", "At 100 %, images are refused or wait.", Ratio, []Query{
				{`resnet18:queue:fill_ratio`, "queue"},
				{`sum(resnet18_dispatcher_jobs_working) / sum(resnet18_dispatcher_slots)`, "slots"},
				{`resnet18:replicas:utilization_ratio_rate1m`, "replicas"},
				{`max(resnet18_dispatcher_upload_bytes / resnet18_dispatcher_upload_capacity_bytes)`, "memory of uploads"},
				{`max(resnet18_dispatcher_connections / resnet18_dispatcher_connections_capacity)`, "connections"},
				{`max by (store) (resnet18_dispatcher_storage_bytes / resnet18_dispatcher_storage_capacity_bytes)`, "{{store}} on disk"}}},
			{"Cache", "Share of arriving images that are answered at once.", Ratio, []Query{
				{`resnet18:cache:hit_ratio_rate5m`, "hits"}, {`sum(resnet18_dispatcher_cache_entries) / sum(resnet18_dispatcher_cache_capacity)`, "entries"}}},
			{"Storage and NATS", "Errors of queue and results, lost connections, and jobs that were delivered again.", PerSecond, []Query{
				{`sum by (operation) (rate(resnet18_dispatcher_storage_errors_total[$__rate_interval]))`, "errors: {{operation}}"},
				{`sum(rate(resnet18_dispatcher_nats_disconnects_total[$__rate_interval]))`, "disconnects"},
				{`sum(rate(resnet18_dispatcher_queue_redeliveries_total[$__rate_interval]))`, "redeliveries"}}},
			{"Dispatchers that can write", "Below the number of dispatchers, some refuse images.", Count, []Query{
				{`sum(resnet18_dispatcher_storage_writable)`, "can write"}, {`sum(resnet18_dispatcher_nats_connected)`, "connected to NATS"},
				{`count(resnet18_dispatcher_build_info)`, "dispatchers"}}},
			{"Free disk", "Of built-in NATS servers.", Bytes, []Query{{`resnet18_dispatcher_storage_free_bytes`, "{{instance}}"}}},
		}},
		{"Replicas", []Panel{
			{"Replicas", "As dispatchers see them.", Count, []Query{
				{`max(resnet18_dispatcher_endpoints{healthy="true"})`, "healthy"}, {`max(resnet18_dispatcher_endpoints{healthy="false"})`, "unhealthy"},
				{`sum(resnet18_dispatcher_slots)`, "slots"}}},
			{"Desired and actual", "As the autoscaler sees them.", Count, []Query{
				{`max(resnet18_autoscaler_desired_replicas)`, "desired"}, {`max(resnet18_autoscaler_ready_replicas)`, "ready"}, {`max(resnet18_autoscaler_starting_replicas)`, "starting"}}},
			{"Why", "Rules that made the autoscaler's decisions; docs/autoscaling.md explains them.", PerSecond, []Query{
				{`sum by (rule) (rate(resnet18_autoscaler_decisions_total[$__rate_interval])) > 0`, "{{rule}}"}}},
			{"Load and forecast", "Images per second: measured, expected, and what the ready replicas handle.", PerSecond, []Query{
				{`max(resnet18_autoscaler_rate_images_per_second)`, "arriving"}, {`max(resnet18_autoscaler_expected_images_per_second)`, "expected"},
				{`max(resnet18_autoscaler_replica_images_per_second * resnet18_autoscaler_ready_replicas)`, "handled"}}},
			{"Utilization by replica", "Share of the time for which slots are taken.", Ratio, []Query{
				{`rate(resnet18_replica_busy_seconds_total[$__rate_interval]) / resnet18_replica_slots`, "{{instance}}"}}},
			{"Cold starts", "Time from the creation of a replica until it was ready, and of its process.", Seconds, []Query{
				{`histogram_quantile(0.9, sum by (le) (increase(resnet18_autoscaler_replica_start_duration_seconds_bucket[1h])))`, "p90 of replicas"},
				{`max(resnet18_replica_startup_duration_seconds)`, "process to ready"}, {`max(resnet18_replica_load_duration_seconds)`, "of that, weights"}}},
			{"int8 and fp32", "Share of compared images with the same best label.", Ratio, []Query{
				{`1 - resnet18:int8:disagreement_ratio_rate1h`, "1 h"}, {`min(resnet18_replica_quantization_agreement_ratio)`, "recent, worst replica"}}},
			{"CPU", "Cores used, by server.", Count, []Query{{`rate(process_cpu_seconds_total{job=~"resnet18.*"}[$__rate_interval])`, "{{instance}}"}}},
			{"Memory", "Resident, by server.", Bytes, []Query{{`process_resident_memory_bytes{job=~"resnet18.*"}`, "{{instance}}"}}},
		}},
	}
}
