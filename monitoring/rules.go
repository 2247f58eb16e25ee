package monitoring

import (
	"fmt"
	"strings"
)

// Objectives of the service level. The budget is what is left to 1: of a thousand submissions, one may fail.
const (
	// Availability is the share of submissions that no fault or lack of capacity of the server refuses (statuses 5xx).
	Availability = 0.999
	// Promptness is the share of completed interactive requests whose result is there within half a second.
	Promptness = 0.95
)

// Record is a recording rule: a query whose result Prometheus stores under a name.
type Record struct {
	Name string
	Expr string
}

// Severities of alerts.
const (
	Page   = "page"   // somebody must act now
	Ticket = "ticket" // somebody must act within days
)

// Alert is an alerting rule. Its runbook is the section of docs/operations.md with its name.
type Alert struct {
	Name     string
	Expr     string
	For      string // how long Expr must hold; empty means at once
	Severity string
	Summary  string // one line with the labels and the value
	Meaning  string // what users feel
}

// submissions selects requests that bring images.
const submissions = `method="POST",route!~"/cache/clear|/models/reload|other"`

// windows are those of the rates of SLOs.
var windows = []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"}

// Records returns the recording rules, in the order in which they are evaluated.
func Records() []Record {
	var rs []Record
	for _, w := range windows {
		rs = append(rs,
			Record{"resnet18:submissions:error_ratio_rate" + w, fmt.Sprintf(
				`sum(rate(resnet18_dispatcher_http_request_duration_seconds_count{%[1]s,status="5xx"}[%[2]s])) / sum(rate(resnet18_dispatcher_http_request_duration_seconds_count{%[1]s}[%[2]s]))`, submissions, w)},
			Record{"resnet18:requests:late_ratio_rate" + w, fmt.Sprintf(
				`1 - sum(rate(resnet18_dispatcher_request_duration_seconds_bucket{priority="interactive",le="0.5"}[%[1]s])) / sum(rate(resnet18_dispatcher_request_duration_seconds_count{priority="interactive"}[%[1]s]))`, w)})
	}
	return append(rs,
		// Dispatchers that share a queue all report its depth.
		Record{"resnet18:queue:waiting", `sum by (priority) (max by (queue, priority) (resnet18_dispatcher_queue_waiting * on (job, instance) group_left (queue) resnet18_dispatcher_queue_info))`},
		Record{"resnet18:queue:fill_ratio", `max(sum without (priority) (resnet18_dispatcher_queue_waiting) / resnet18_dispatcher_queue_capacity)`},
		Record{"resnet18:replicas:utilization_ratio_rate1m", `sum(rate(resnet18_replica_busy_seconds_total[1m])) / sum(resnet18_replica_slots)`},
		Record{"resnet18:cache:hit_ratio_rate5m", `sum(rate(resnet18_dispatcher_cache_hits_total[5m])) / (sum(rate(resnet18_dispatcher_cache_hits_total[5m])) + sum(rate(resnet18_dispatcher_cache_misses_total[5m])))`},
		Record{"resnet18:int8:disagreement_ratio_rate1h", `sum(rate(resnet18_replica_quantization_compared_total{equal="false"}[1h])) / sum(rate(resnet18_replica_quantization_compared_total[1h]))`},
	)
}

// burns returns the condition that a budget is used up too fast, by rates over a long window, and still is, by a short one. A
// factor of 1 uses up the budget of 30 days in 30 days, 14.4 in two days: 2 % of it in an hour. The pairs are those of
// "Alerting on SLOs" in The Site Reliability Workbook (Google, 2018), chapter 5.
func burns(ratio string, objective float64, pairs ...[3]string) string {
	var any []string
	for _, p := range pairs {
		long, short, factor := p[0], p[1], p[2]
		any = append(any, fmt.Sprintf("(%[1]s%[2]s > %[4]s * %[5]g and %[1]s%[3]s > %[4]s * %[5]g)", ratio, long, short, factor, round(1-objective)))
	}
	return strings.Join(any, " or ")
}

// round removes what is left of binary fractions: 1 - 0.999 is 0.001.
func round(x float64) float64 { return float64(int(x*1e6+0.5)) / 1e6 }

var (
	fast = [][3]string{{"1h", "5m", "14.4"}, {"6h", "30m", "6"}}
	slow = [][3]string{{"1d", "2h", "3"}, {"3d", "6h", "1"}}
)

// Alerts returns the alerting rules.
func Alerts() []Alert {
	const errors, late = "resnet18:submissions:error_ratio_rate", "resnet18:requests:late_ratio_rate"
	return []Alert{
		{"SubmissionsFail", burns(errors, Availability, fast...), "", Page,
			"{{ $value | humanizePercentage }} of submissions fail", "clients get 5xx for their images, so many that the month's budget is used up within days"},
		{"SubmissionsFailSlowly", burns(errors, Availability, slow...), "", Ticket,
			"{{ $value | humanizePercentage }} of submissions fail", "clients get 5xx for their images, so many that the month's budget is used up before its end"},
		{"AnswersAreLate", burns(late, Promptness, fast...), "", Page,
			"{{ $value | humanizePercentage }} of interactive requests take over 0.5 s", "clients wait"},
		{"AnswersAreLateSlowly", burns(late, Promptness, slow...), "", Ticket,
			"{{ $value | humanizePercentage }} of interactive requests take over 0.5 s", "clients wait, more often than agreed"},
		{"QueueFull", `resnet18:queue:fill_ratio > 0.9`, "2m", Page,
			"a queue is {{ $value | humanizePercentage }} full", "images are refused with 503, code full, or will be soon"},
		{"AcceptedImagesLost", `sum(increase(resnet18_dispatcher_requests_ended_total{outcome="lost"}[15m])) > 0`, "", Page,
			"{{ $value | humanize }} accepted images were lost", "clients of these images must send them again"},
		{"AcceptedImagesFail", `sum(rate(resnet18_dispatcher_requests_ended_total{outcome=~"internal|unavailable"}[10m])) / sum(rate(resnet18_dispatcher_requests_ended_total[10m])) > 0.01`, "5m", Page,
			"{{ $value | humanizePercentage }} of accepted images fail", "images were accepted, and have no result"},
		{"StorageFailing", `resnet18_dispatcher_storage_writable == 0`, "1m", Page,
			"{{ $labels.instance }} cannot write its queue or results", "this dispatcher refuses all images with 503"},
		{"StorageErrors", `sum by (operation) (rate(resnet18_dispatcher_storage_errors_total[5m])) > 0.1`, "10m", Ticket,
			"{{ $value | humanize }} operations a second fail: {{ $labels.operation }}", "submissions and results are delayed by retries, or refused"},
		{"StorageDiskLow", `resnet18_dispatcher_storage_free_bytes < 268435456`, "5m", Ticket,
			"{{ $value | humanize1024 }}B are free for the queue of {{ $labels.instance }}", "images will be refused when the disk is full"},
		{"NATSDisconnected", `resnet18_dispatcher_nats_connected == 0`, "1m", Page,
			"{{ $labels.instance }} has no connection to NATS", "this dispatcher refuses all images with 503"},
		{"NoReplicas", `resnet18_dispatcher_slots == 0`, "1m", Page,
			"{{ $labels.instance }} has no healthy replica", "images are accepted and wait; /health/ready is 503"},
		{"ReplicasUnhealthy", `resnet18_dispatcher_endpoints{healthy="false"} > 0`, "10m", Ticket,
			"{{ $labels.instance }} cannot use {{ $value }} replicas", "the others do their work, so answers take longer under load"},
		{"ReplicaCrashLoop", `changes(process_start_time_seconds[15m]) * on (job, instance) group_left () max by (job, instance) (resnet18_replica_build_info) > 2`, "", Page,
			"{{ $labels.instance }} was started {{ $value }} times in 15 minutes", "its images are sent to other replicas; if all crash, none is answered"},
		{"ReplicasNotStarting", `resnet18_autoscaler_desired_replicas > resnet18_autoscaler_ready_replicas and resnet18_autoscaler_leading == 1`, "10m", Ticket,
			"the autoscaler wants {{ $value }} replicas and does not get them", "answers take longer under load"},
		{"AutoscalerBlind", `resnet18_autoscaler_blind == 1 and resnet18_autoscaler_leading == 1`, "2m", Ticket,
			"{{ $labels.instance }} does not see all dispatchers", "replicas are not removed, and none are added for load that is not seen"},
		{"AutoscalerFailing", `sum by (operation) (rate(resnet18_autoscaler_failures_total[5m])) > 0.1`, "5m", Ticket,
			"intervals with a failure of {{ $labels.operation }}: {{ $value | humanize }} a second", "the number of replicas does not follow the load"},
		{"AutoscalerWithoutLeader", `max(resnet18_autoscaler_leading) == 0`, "2m", Page,
			"no autoscaler may set the number of replicas", "the number of replicas stays as it is"},
		{"Int8Disagrees", `resnet18:int8:disagreement_ratio_rate1h > 0.05`, "10m", Ticket,
			"{{ $value | humanizePercentage }} of compared images have another label in int8 than in fp32", "labels are worse than with fp32"},
		{"EstimatesAreWrong", `histogram_quantile(0.9, sum by (le) (rate(resnet18_dispatcher_estimate_error_seconds_bucket{direction="late"}[15m]))) > 5`, "15m", Ticket,
			"the slowest tenth of late results comes over {{ $value | humanizeDuration }} after its estimate", "clients come back too early, and poll"},
		{"WebhooksFail", `sum(rate(resnet18_dispatcher_webhooks_total{outcome="failed"}[15m])) > 0`, "15m", Ticket,
			"{{ $value | humanize }} webhooks a second are given up", "clients do not hear of their results"},
		{"TargetDown", `up{job=~"resnet18.*"} == 0`, "5m", Ticket,
			"{{ $labels.instance }} is not scraped", "the other alerts do not see this server"},
	}
}

// runbooks is the page with a section for each alert.
const runbooks = "https://github.com/resnet18cloud/resnet18cloud/blob/main/docs/operations.md"

// Runbook returns the address of the alert's section.
func (a Alert) Runbook() string { return runbooks + "#" + strings.ToLower(a.Name) }
