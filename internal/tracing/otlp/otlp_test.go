package otlp_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing/otlp"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing/tracingtest"
)

func TestMain(m *testing.M) {
	for _, v := range os.Environ() { // those of the machine must not matter
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// open returns an exporter and its log.
func open(t *testing.T, cfg otlp.Config) (*otlp.Exporter, *testutil.Log) {
	t.Helper()
	var log testutil.Log
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	if cfg.Service == "" {
		cfg.Service = "part"
	}
	e, err := otlp.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e, &log
}

// work records n traces of two spans.
func work(t *testing.T, e *otlp.Exporter, n int) {
	t.Helper()
	for range n {
		ctx, root := e.Tracer().Root(t.Context(), "root", tracing.Server)
		_, child := e.Tracer().Start(ctx, "child", tracing.Internal)
		child.End()
		root.End()
	}
}

// TestSpansArrive sends spans over both protocols; Close sends those that wait.
func TestSpansArrive(t *testing.T) {
	receiver := tracingtest.Start(t)
	for name, test := range map[string]struct {
		endpoint string
		env      map[string]string
		service  string
	}{
		"HTTP":                    {endpoint: receiver.HTTP},
		"HTTP with a slash":       {endpoint: receiver.HTTP + "/"},
		"HTTP with the path":      {endpoint: receiver.HTTP + "/v1/traces"},
		"gRPC":                    {endpoint: receiver.GRPC},
		"variable":                {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.HTTP}},
		"variable of traces":      {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.HTTP + "/v1/traces"}},
		"variable, gRPC":          {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": strings.Replace(receiver.GRPC, "grpc", "http", 1), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
		"option before variables": {endpoint: receiver.HTTP, env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		"service by variable":     {endpoint: receiver.HTTP, env: map[string]string{"OTEL_SERVICE_NAME": "mine"}, service: "mine"},
		"compressed":              {endpoint: receiver.HTTP, env: map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			before := len(receiver.Spans(""))
			e, log := open(t, otlp.Config{Endpoint: test.endpoint, Service: "part-" + strings.ReplaceAll(name, " ", "-")})
			work(t, e, 1)
			e.Close()
			want := test.service
			if want == "" {
				want = "part-" + strings.ReplaceAll(name, " ", "-")
			}
			spans := receiver.Spans("")
			ours := 0
			for _, s := range spans {
				if s.Service == want {
					ours++
				}
			}
			if len(spans) != before+2 || ours != 2 || log.String() != "" {
				t.Errorf("%d spans of %s, %d in all, log %q, want 2 more than %d", ours, want, len(spans), log.String(), before)
			}
		})
	}
}

// TestOff checks when there is no exporter.
func TestOff(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing set":                    {},
		"none":                           {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
		"disabled":                       {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
		"only sampling":                  {"OTEL_TRACES_SAMPLER": "always_on"},
		"what other programs understand": {"OTEL_TRACES_SAMPLER": "jaeger_remote", "OTEL_RESOURCE_ATTRIBUTES": "a", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range env {
				t.Setenv(name, value)
			}
			e, _ := open(t, otlp.Config{})
			if e != nil || e.Tracer() != nil {
				t.Errorf("New = %v, want nil", e)
			}
			e.Close()
		})
	}
}

// TestBadConfiguration checks that what cannot work is refused, with the way out.
func TestBadConfiguration(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint, variable, value, want string
	}{
		"no scheme":      {endpoint: "collector:4317", want: `"collector:4317" is not the URL`},
		"other scheme":   {endpoint: "ftp://collector", want: "grpc://HOST:4317"},
		"no host":        {endpoint: "http://", want: "is not the URL"},
		"password":       {endpoint: "http://a:b@collector", want: "is not the URL"},
		"path for gRPC":  {endpoint: "grpc://collector/v1/traces", want: "is not the URL"},
		"query":          {endpoint: "http://collector/?a=b", want: "is not the URL"},
		"exporter":       {variable: "OTEL_TRACES_EXPORTER", value: "zipkin", want: "use otlp or none"},
		"protocol":       {variable: "OTEL_EXPORTER_OTLP_PROTOCOL", value: "smoke", want: "use grpc or http/protobuf"},
		"variable":       {variable: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value: "collector", want: "is not a URL"},
		"sampler":        {endpoint: "http://collector", variable: "OTEL_TRACES_SAMPLER", value: "jaeger_remote", want: "use parentbased_traceidratio"},
		"share":          {endpoint: "http://collector", variable: "OTEL_TRACES_SAMPLER_ARG", value: "10%", want: "use a number from 0 to 1"},
		"above one":      {endpoint: "http://collector", variable: "OTEL_TRACES_SAMPLER_ARG", value: "10", want: "use a number from 0 to 1"},
		"no number":      {endpoint: "http://collector", variable: "OTEL_TRACES_SAMPLER_ARG", value: "NaN", want: "use a number from 0 to 1"},
		"bad attributes": {endpoint: "http://collector", variable: "OTEL_RESOURCE_ATTRIBUTES", value: "a", want: "OTEL_RESOURCE_ATTRIBUTES"},
	} {
		t.Run(name, func(t *testing.T) {
			switch test.variable {
			case "OTEL_TRACES_SAMPLER_ARG":
				t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
			case "OTEL_EXPORTER_OTLP_PROTOCOL":
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector")
			}
			if test.variable != "" {
				t.Setenv(test.variable, test.value)
			}
			e, err := otlp.New(t.Context(), otlp.Config{Endpoint: test.endpoint, Service: "part", Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New = %v, want an error with %q", err, test.want)
			}
			e.Close()
		})
	}
}

// TestSample records a share of the traces, and those that clients want.
func TestSample(t *testing.T) {
	for name, test := range map[string]struct {
		share    float64
		sampler  string
		parent   string
		from, to int
	}{
		"a tenth":                    {share: 0.1, from: 50, to: 160},
		"none":                       {share: 0, from: 0, to: 0},
		"none but the client's":      {share: 0, parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", from: 1000, to: 1000},
		"all but the client's":       {share: 1, parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", from: 0, to: 0},
		"by the standard's variable": {share: -1, sampler: "parentbased_always_off", from: 0, to: 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := otlp.Config{Endpoint: "http://127.0.0.1:1", Sample: &test.share}
			if test.sampler != "" {
				t.Setenv("OTEL_TRACES_SAMPLER", test.sampler)
				cfg.Sample = nil
			}
			e, _ := open(t, cfg)
			defer e.Close()
			trace, _ := resnet18cloud.ParseTraceparent(test.parent)
			n := 0
			for range 1000 {
				_, span := e.Tracer().Root(resnet18cloud.WithTrace(t.Context(), trace), "root", tracing.Server)
				if span != nil {
					n++
				}
				span.End()
			}
			if n < test.from || n > test.to {
				t.Errorf("%d of 1000 traces are recorded, want %d to %d", n, test.from, test.to)
			}
		})
	}
}

// TestReceiverIsAway checks that a receiver that is away, hangs or refuses costs the work nothing, that it is logged once, and that
// Close does not wait for it.
func TestReceiverIsAway(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")   // ms
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "100")  // ms
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1000") // spans
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	left := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-left:
		case <-r.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(left)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("no", 1000), http.StatusUnauthorized)
	}))
	defer refusing.Close()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	for name, endpoint := range map[string]string{
		"away": "http://127.0.0.1:1", "away, gRPC": "grpc://127.0.0.1:1", "silent": "http://" + silent.Addr().String(), "silent, gRPC": "grpc://" + silent.Addr().String(),
		"hanging": hanging.URL, "refusing": refusing.URL, "endless": endless.URL, "endless, gRPC": strings.Replace(endless.URL, "http", "grpc", 1),
		"unknown host": "http://collector.invalid:4318",
	} {
		t.Run(name, func(t *testing.T) {
			e, log := open(t, otlp.Config{Endpoint: endpoint})
			began := time.Now()
			work(t, e, 2000) // twice what waits
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("recording took %s", took)
			}
			const line = "traces cannot be sent"
			for deadline := time.Now().Add(20 * time.Second); len(log.Lines(line)) == 0; {
				if time.Now().After(deadline) {
					t.Fatalf("no line in the log: %q", log.String())
				}
				work(t, e, 1)
			}
			closing := time.Now()
			e.Close()
			if took := time.Since(closing); took > 5*time.Second {
				t.Errorf("Close took %s", took)
			}
			if got := len(log.Lines(line)); got != 1 {
				t.Errorf("%d lines in the log, want one:\n%s", got, log.String())
			}
			work(t, e, 1) // harmless
		})
	}
}

// TestReceiverReturns checks that spans arrive when a receiver starts late, and that the log says so.
func TestReceiverReturns(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20") // ms
	receiver := tracingtest.Start(t)
	refuse := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-refuse:
			http.Redirect(w, r, receiver.HTTP+r.URL.Path, http.StatusTemporaryRedirect)
		default:
			http.Error(w, "not yet", http.StatusNotFound)
		}
	}))
	defer proxy.Close()
	e, log := open(t, otlp.Config{Endpoint: proxy.URL})
	defer e.Close()
	await := func(line string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); len(log.Lines(line)) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no %q in the log: %q", line, log.String())
			}
			work(t, e, 1)
		}
	}
	await("traces cannot be sent")
	close(refuse)
	await("traces are sent again")
	if got := len(receiver.Spans("")); got == 0 {
		t.Error("no spans arrived")
	}
	if got := fmt.Sprint(len(log.Lines("traces cannot be sent")), len(log.Lines("traces are sent again"))); got != "1 1" {
		t.Errorf("lines in the log %s, want one of each", got)
	}
}
