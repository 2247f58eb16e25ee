package metrics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/metrics"
)

// scrape returns the metrics in a format.
func scrape(t *testing.T, s *metrics.Set, accept string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Body.String()
}

func TestSeriesStartAtZero(t *testing.T) {
	t.Parallel()
	s := metrics.New("part", metrics.Build{Version: "v1.2.3", Revision: "abc"})
	s.Counters("errors_total", "Errors.", "code", []string{"full", "lost"})
	s.Histograms("duration_seconds", "Time.", metrics.Durations(), "stage", []string{"queue"})
	s.Histogram("wait_seconds", "Time.", metrics.Durations())
	s.Requests().Add([]string{"POST /predict", "GET /result/{id}", "/all"})
	text := scrape(t, s, "")
	for _, line := range []string{
		`resnet18_part_errors_total{code="full"} 0`, `resnet18_part_errors_total{code="lost"} 0`,
		`resnet18_part_duration_seconds_bucket{stage="queue",le="0.5"} 0`, `resnet18_part_wait_seconds_count 0`,
		`resnet18_part_http_request_duration_seconds_count{method="POST",route="/predict",status="2xx"} 0`,
		`resnet18_part_http_request_duration_seconds_bucket{method="other",route="/all",status="4xx",le="0.5"} 0`,
		`resnet18_part_http_errors_total{code="unauthorized",method="GET"} 0`, `resnet18_part_startup_duration_seconds 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("a fresh server lacks %s", line)
		}
	}
	if !strings.Contains(text, `resnet18_part_build_info{goarch="`) || !strings.Contains(text, `revision="abc",version="v1.2.3"} 1`) {
		t.Error("no build info")
	}
	if problems, err := testutil.GatherAndLint(s); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

// TestRequests checks that labels have only known values, whatever clients send.
func TestRequests(t *testing.T) {
	t.Parallel()
	s := metrics.New("part", metrics.Build{})
	requests := s.Requests()
	requests.Add([]string{"POST /predict"})
	before, err := testutil.GatherAndCount(s, "resnet18_part_http_request_duration_seconds", "resnet18_part_http_errors_total")
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range []httpx.Served{
		{Method: "POST", Route: "POST /predict", Status: 202, Took: 300 * time.Millisecond},
		{Method: "POST", Route: "POST /predict", Status: 503, Code: resnet18cloud.CodeFull},
		{Method: "BREW", Status: 405, Code: resnet18cloud.CodeInvalid}, {Method: "PROPFIND", Status: 405, Code: resnet18cloud.CodeInvalid},
		{Method: "POST", Status: 404, Code: resnet18cloud.CodeNotFound},
	} {
		if requests.Observe(t.Context(), r); i == 1 {
			if after, _ := testutil.GatherAndCount(s, "resnet18_part_http_request_duration_seconds", "resnet18_part_http_errors_total"); after != before {
				t.Errorf("%d series after the first error, %d before", after, before)
			}
		}
	}
	text := scrape(t, s, "")
	for _, line := range []string{
		`resnet18_part_http_request_duration_seconds_bucket{method="POST",route="/predict",status="2xx",le="0.2"} 0`,
		`resnet18_part_http_request_duration_seconds_bucket{method="POST",route="/predict",status="2xx",le="0.5"} 1`,
		`resnet18_part_http_request_duration_seconds_count{method="POST",route="/predict",status="5xx"} 1`,
		`resnet18_part_http_request_duration_seconds_count{method="other",route="other",status="4xx"} 2`,
		`resnet18_part_http_request_duration_seconds_count{method="POST",route="other",status="4xx"} 1`,
		`resnet18_part_http_errors_total{code="full",method="POST"} 1`, `resnet18_part_http_errors_total{code="invalid",method="other"} 2`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// TestExemplars checks that a histogram refers to traces that are sampled, and to no others, and that Prometheus gets native
// histograms if it asks for them.
func TestExemplars(t *testing.T) {
	t.Parallel()
	s := metrics.New("part", metrics.Build{})
	h := s.Histogram("duration_seconds", "Time.", metrics.Durations())
	const sampled, other = "4bf92f3577b34da6a3ce929d0e0e4736", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	with := func(parent string) context.Context {
		trace, ok := resnet18cloud.ParseTraceparent(parent)
		if !ok {
			t.Fatal("not a traceparent: ", parent)
		}
		return resnet18cloud.WithTrace(t.Context(), trace)
	}
	metrics.Observe(with("00-"+sampled+"-00f067aa0ba902b7-01"), h, 300*time.Millisecond)
	metrics.Observe(with("00-"+other+"-00f067aa0ba902b7-00"), h, 3*time.Second)
	metrics.Observe(t.Context(), h, 3*time.Second)
	text := scrape(t, s, "application/openmetrics-text; version=1.0.0")
	if !strings.Contains(text, `le="0.5"} 1 # {trace_id="`+sampled+`"} 0.3 `) || strings.Contains(text, other) {
		t.Errorf("exemplars:\n%s", text)
	}
	families, err := s.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "resnet18_part_duration_seconds" {
			continue
		}
		m := f.GetMetric()[0].GetHistogram()
		if len(m.GetPositiveSpan()) == 0 || m.GetSchema() < 3 || len(m.GetBucket()) != len(metrics.Durations()) {
			t.Errorf("want classic and native buckets: %v", m)
		}
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	s := metrics.New("part", metrics.Build{})
	s.Ready()
	if err := testutil.GatherAndCompare(s, strings.NewReader(""), "resnet18_part_startup_duration_seconds"); err == nil {
		t.Error("no time to ready")
	}
	if strings.Contains(scrape(t, s, ""), "resnet18_part_startup_duration_seconds 0\n") {
		t.Error("the time to ready is 0")
	}
	var _ prometheus.Gatherer = s
}
