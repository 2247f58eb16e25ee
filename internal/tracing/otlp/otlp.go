// Package otlp sends spans to a receiver of OTLP, such as an OpenTelemetry Collector, over HTTP or gRPC. Only commands use it. It
// never holds up the work whose spans it sends: spans that the receiver does not take in time are lost.
package otlp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// Config configures an [Exporter]. What it leaves out comes from the standard variables of OpenTelemetry, such as
// OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES. See docs/tracing.md.
type Config struct {
	// Endpoint is the receiver's URL: http or https for OTLP over HTTP, where /v1/traces is appended unless it is there, grpc or
	// grpcs for OTLP over gRPC. Empty means that of OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT, with the
	// protocol of OTEL_EXPORTER_OTLP_PROTOCOL; without these, no spans are recorded.
	Endpoint string
	// Sample is the share of traces to record, 0 to 1, of those whose client has not decided. Nil means as OTEL_TRACES_SAMPLER
	// says: by default all.
	Sample *float64
	// Service is the service.name of the spans unless OTEL_SERVICE_NAME is set, and Version its version.
	Service, Version string
	// Log receives a line when the receiver begins to fail, and one when it works again.
	Log *slog.Logger
}

// Exporter records spans and sends them. A nil Exporter does nothing. Create it with [New].
type Exporter struct {
	provider *trace.TracerProvider
	sender   *sender
}

// New returns an exporter, or nil if the configuration and the environment name no receiver. It connects in the background. The
// error is about the configuration.
func New(ctx context.Context, cfg Config) (*Exporter, error) {
	connect, err := receiver(cfg)
	if connect == nil || err != nil {
		return nil, err
	}
	what, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version),
		attribute.String("service.instance.id", uuid.NewString()),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	options := []trace.TracerProviderOption{trace.WithResource(what)}
	if cfg.Sample != nil {
		options = append(options, trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(*cfg.Sample))))
	} else if err := checkSampler(); err != nil {
		return nil, err
	}
	client, err := connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the receiver of traces: %w", err)
	}
	s := newSender(client, cfg.Log)
	return &Exporter{trace.NewTracerProvider(append(options, trace.WithBatcher(s))...), s}, nil
}

// Tracer returns the tracer whose spans are sent; nil if e is nil.
func (e *Exporter) Tracer() *tracing.Tracer {
	if e == nil {
		return nil
	}
	return tracing.New(e.provider)
}

// Flush times: of a receiver that takes spans, and of one that has failed.
const (
	flushTimeout        = time.Second
	flushTimeoutFailing = 100 * time.Millisecond
)

// Close sends the spans that wait, for a second at most, and ends what New started.
func (e *Exporter) Close() {
	if e == nil {
		return
	}
	timeout := flushTimeout
	if e.sender.failing() {
		timeout = flushTimeoutFailing
	}
	stop := time.AfterFunc(timeout, e.sender.cancel)
	defer stop.Stop()
	_ = e.provider.Shutdown(context.Background()) // the sender has logged what it could not send
}

// connecting makes the client for a receiver.
type connecting func(context.Context) (trace.SpanExporter, error)

func overHTTP(options ...otlptracehttp.Option) connecting {
	return func(ctx context.Context) (trace.SpanExporter, error) { return otlptracehttp.New(ctx, options...) }
}

func overGRPC(options ...otlptracegrpc.Option) connecting {
	return func(ctx context.Context) (trace.SpanExporter, error) { return otlptracegrpc.New(ctx, options...) }
}

// receiver finds where spans go; it returns nil if nowhere.
func receiver(cfg Config) (connecting, error) {
	if cfg.Endpoint != "" {
		return receiverAt(cfg.Endpoint)
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); {
	case strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none":
		return nil, nil
	case exporter != "" && exporter != "otlp":
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=%s is not supported (use otlp or none)", exporter)
	case exporter == "" && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		// The client would log a URL that it cannot use, and send to this machine instead.
		if text := os.Getenv(name); text != "" {
			if u, err := url.Parse(text); err != nil || u.Host == "" {
				return nil, fmt.Errorf("%s=%s is not a URL (use one such as http://127.0.0.1:4318)", name, text)
			}
		}
	}
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); protocol {
	case "grpc":
		return overGRPC(), nil
	case "", "http/protobuf", "http/json":
		return overHTTP(), nil
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s is not supported (use grpc or http/protobuf)", protocol)
	}
}

// tracesPath is where receivers of OTLP over HTTP take spans.
const tracesPath = "/v1/traces"

// receiverAt is receiver for a URL of Config.Endpoint.
func receiverAt(endpoint string) (connecting, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errEndpoint(endpoint)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Path = strings.TrimSuffix(u.Path, "/"); !strings.HasSuffix(u.Path, tracesPath) {
			u.Path += tracesPath
		}
		return overHTTP(otlptracehttp.WithEndpointURL(u.String())), nil
	case "grpc", "grpcs":
		if strings.Trim(u.Path, "/") != "" {
			return nil, errEndpoint(endpoint)
		}
		u.Scheme = strings.Replace(u.Scheme, "grpc", "http", 1)
		return overGRPC(otlptracegrpc.WithEndpointURL(u.String())), nil
	}
	return nil, errEndpoint(endpoint)
}

func errEndpoint(endpoint string) error {
	return fmt.Errorf("%q is not the URL of an OTLP receiver (use http://HOST:4318 or grpc://HOST:4317, or https and grpcs for TLS)", endpoint)
}

// checkSampler returns the error for a sampler in the environment that is not one: OpenTelemetry would record everything instead.
func checkSampler() error {
	name, arg := os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG")
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "", "always_on", "always_off", "parentbased_always_on", "parentbased_always_off":
		return nil
	case "traceidratio", "parentbased_traceidratio":
		if arg == "" {
			return nil
		}
		if share, err := strconv.ParseFloat(strings.TrimSpace(arg), 64); err != nil || !(share >= 0 && share <= 1) {
			return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%s is not a share (use a number from 0 to 1)", arg)
		}
		return nil
	}
	return fmt.Errorf("OTEL_TRACES_SAMPLER=%s is not supported (use parentbased_traceidratio with OTEL_TRACES_SAMPLER_ARG, parentbased_always_on, "+
		"parentbased_always_off, or these without parentbased)", name)
}
