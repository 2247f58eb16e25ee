package main

import (
	"context"
	"os"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/internal/tracing/otlp"
)

// traceFlags say where traces go.
type traceFlags struct {
	TraceEndpoint string   `help:"URL of a receiver of OTLP, such as an OpenTelemetry Collector, to send traces to: http://HOST:4318 or grpc://HOST:4317; https and grpcs with TLS. Default: that of OTEL_EXPORTER_OTLP_ENDPOINT; without it, no traces are recorded." placeholder:"URL" env:"RESNET18_TRACE_ENDPOINT"`
	TraceSample   *percent `help:"Share of the traces to record, 0% to 100%, of those whose client has not decided. Default: as OTEL_TRACES_SAMPLER says, which is all without it." placeholder:"PERCENT" env:"RESNET18_TRACE_SAMPLE"`
}

// open returns the exporter of a part's traces, nil if there is none. The caller closes it.
func (f traceFlags) open(ctx context.Context, env *environment, part string) (*otlp.Exporter, error) {
	cfg := otlp.Config{Endpoint: f.TraceEndpoint, Sample: (*float64)(f.TraceSample), Service: "resnet18cloud-" + part, Version: version, Log: env.log}
	exporter, err := otlp.New(ctx, cfg)
	return exporter, badUsage(err)
}

// args are the flags of another command with the same meaning.
func (f traceFlags) args() (args []string) {
	if f.TraceEndpoint != "" {
		args = append(args, "--trace-endpoint", f.TraceEndpoint)
	}
	if f.TraceSample != nil {
		args = append(args, "--trace-sample", f.TraceSample.String())
	}
	return args
}

const serviceNameEnv = "OTEL_SERVICE_NAME"

// serviceEnv returns the variables of a child process that is another part: a name for this one's traces is not the other's.
func serviceEnv(environ []string, part string) []string {
	if name := os.Getenv(serviceNameEnv); strings.TrimSpace(name) != "" {
		return append(environ, serviceNameEnv+"="+name+"-"+part)
	}
	return environ
}
