package load

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	got := parseMetrics([]byte(`# HELP resnet18_images_total Images.
# TYPE resnet18_images_total counter
resnet18_images_total{outcome="ok"} 5
resnet18_images_total{outcome="a } in a label"} 2.5
resnet18_queue_images 3 1700000000000
resnet18_stage_seconds_bucket{le="1"} 9
resnet18_stage_seconds_sum 0.25
resnet18_nothing NaN
resnet18_limit +Inf
go_goroutines 12
nonsense
{} 1
`))
	want := map[string]float64{"resnet18_images_total": 7.5, "resnet18_queue_images": 3, "resnet18_stage_seconds_sum": 0.25}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte("a{b=\"c\"} 1\na 1e308\na 1e308\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := json.Marshal(parseMetrics(data)); err != nil {
			t.Error(err)
		}
	})
}

func TestReadStatus(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]result.Sample{
		`{"queue_size":7,"processing":2,"endpoints":[{"healthy":true},{"healthy":false},{"healthy":true}]}`: {HasStatus: true, Queue: 7, Processing: 2, Replicas: 2},
		`{"queue_size":0}`: {HasStatus: true}, // the prototype's
	} {
		var got result.Sample
		if err := readStatus([]byte(text), &got); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{`{"status":"healthy"}`, `<html>`} {
		if err := readStatus([]byte(text), new(result.Sample)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// seen is a transport that keeps the Authorization header of requests by their URL.
type seen map[string]string

func (s seen) RoundTrip(r *http.Request) (*http.Response, error) {
	s[r.URL.String()] = r.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("a 1\n"))}, nil
}

// TestProbeHeader checks that the token goes to the measured server, and to no other.
func TestProbeHeader(t *testing.T) {
	t.Parallel()
	got := seen{}
	p := Probe{Client: &http.Client{Transport: got}, Status: "http://a:80/status", Header: http.Header{"Authorization": {"Bearer x"}}, Host: "a:80"}
	for _, p.Metrics = range []string{"http://a:80/metrics", "http://b:80/metrics", "http://a:81/metrics"} {
		p.sample(t.Context())
	}
	want := seen{"http://a:80/status": "Bearer x", "http://a:80/metrics": "Bearer x", "http://b:80/metrics": "", "http://a:81/metrics": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Authorization by URL (-want +got):\n%s", diff)
	}
}

// answers is a transport that answers with the body of a URL, or with 404.
type answers map[string]string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body, there := a[r.URL.Path]
	status := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[there]
	if !there {
		body = `{"queue_size":9}` + "\nb 9\n" // is not read
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// TestProbeSample checks which answers make a sample: one of the two is enough.
func TestProbeSample(t *testing.T) {
	t.Parallel()
	const status, metrics = `{"queue_size":3,"processing":1}`, "a 1\n"
	both := Probe{Status: "http://a/status", Metrics: "http://a/metrics"}
	known, values := result.Sample{HasStatus: true, Queue: 3, Processing: 1}, map[string]float64{"a": 1}
	with := known
	with.Metrics = values
	for name, test := range map[string]struct {
		probe   Probe
		answers answers
		want    result.Sample
		ok      bool
	}{
		"both":                {both, answers{"/status": status, "/metrics": metrics}, with, true},
		"status":              {both, answers{"/status": status}, known, true},
		"metrics":             {both, answers{"/metrics": metrics}, result.Sample{Metrics: values}, true},
		"neither":             {both, answers{}, result.Sample{}, false},
		"another status":      {both, answers{"/status": "{}", "/metrics": metrics}, result.Sample{Metrics: values}, true},
		"pages":               {both, answers{"/status": "<html>", "/metrics": "<html>"}, result.Sample{}, false},
		"only status wanted":  {Probe{Status: both.Status}, answers{"/status": status, "/metrics": metrics}, known, true},
		"only metrics wanted": {Probe{Metrics: both.Metrics}, answers{"/status": status, "/metrics": metrics}, result.Sample{Metrics: values}, true},
		"nothing wanted":      {Probe{}, answers{"": status}, result.Sample{}, false},
	} {
		test.probe.Client = &http.Client{Transport: test.answers}
		got, ok := test.probe.sample(t.Context())
		if ok != test.ok || !cmp.Equal(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, ok, test.want, test.ok)
		}
	}
}
