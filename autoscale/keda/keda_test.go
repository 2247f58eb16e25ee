package keda

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud/autoscale/keda/externalscaler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// advisor is a policy under the test's control.
type advisor struct {
	mu     sync.Mutex
	advice Advice // guarded by mu
}

func (a *advisor) set(advice Advice) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advice = advice
}

func (a *advisor) get() Advice {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.advice
}

// setup serves, and returns a client as KEDA makes it.
func setup(t *testing.T, cfg Config) (*advisor, externalscaler.ExternalScalerClient) {
	t.Helper()
	a := new(advisor)
	cfg.Addr, cfg.Advice = "127.0.0.1:0", a.get
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		conn.Close()
	})
	return a, externalscaler.NewExternalScalerClient(conn)
}

// TestMetricIsTheReplicasNeeded follows KEDA: it asks for metrics and targets, and gives an HPA the quotient.
func TestMetricIsTheReplicasNeeded(t *testing.T) {
	t.Parallel()
	a, client := setup(t, Config{})
	ref := &externalscaler.ScaledObjectRef{Name: "resnet18", Namespace: "default"}
	specs, err := client.GetMetricSpec(t.Context(), ref)
	if err != nil || len(specs.GetMetricSpecs()) != 1 {
		t.Fatalf("GetMetricSpec = %v, %v; want one", specs, err)
	}
	spec := specs.GetMetricSpecs()[0]
	a.set(Advice{At: time.Now(), Replicas: 7, Working: true})
	got, err := client.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: ref, MetricName: spec.GetMetricName()})
	if err != nil || len(got.GetMetricValues()) != 1 {
		t.Fatalf("GetMetrics = %v, %v; want one value", got, err)
	}
	value := got.GetMetricValues()[0]
	if replicas := value.GetMetricValueFloat() / spec.GetTargetSizeFloat(); replicas != 7 {
		t.Errorf("value %v at a target of %v is %v replicas, want 7", value.GetMetricValueFloat(), spec.GetTargetSizeFloat(), replicas)
	}
	if replicas := value.GetMetricValue() / spec.GetTargetSize(); replicas != 7 { //nolint:staticcheck // what older KEDAs read
		t.Errorf("to older KEDAs it is %d replicas, want 7", replicas)
	}
}

// TestNoAdviceIsAnError checks that missing advice is not reported as 0, which would make KEDA remove replicas.
func TestNoAdviceIsAnError(t *testing.T) {
	t.Parallel()
	a, client := setup(t, Config{})
	ask := func(metric string) codes.Code {
		_, err := client.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{MetricName: metric})
		return status.Code(err)
	}
	if got := ask(Metric); got != codes.Unavailable {
		t.Errorf("GetMetrics before the first decision: %s, want %s", got, codes.Unavailable)
	}
	a.set(Advice{At: time.Now().Add(-11 * time.Second), Replicas: 3})
	if got := ask(Metric); got != codes.Unavailable {
		t.Errorf("GetMetrics on figures 11 s old: %s, want %s", got, codes.Unavailable)
	}
	a.set(Advice{At: time.Now(), Replicas: 3})
	if got := ask("s0-" + Metric); got != codes.NotFound {
		t.Errorf("GetMetrics of another name: %s, want %s", got, codes.NotFound)
	}
}

// TestActivity checks that a stream gets the present state immediately, and each change.
func TestActivity(t *testing.T) {
	t.Parallel()
	a, client := setup(t, Config{IdleAfter: 500 * time.Millisecond, MaxAge: time.Hour})
	stream, err := client.StreamIsActive(t.Context(), new(externalscaler.ScaledObjectRef))
	if err != nil {
		t.Fatal(err)
	}
	next := func() bool {
		t.Helper()
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetResult()
	}
	if !next() {
		t.Error("not active while nothing is known, want active: nothing may be scaled to zero")
	}
	a.set(Advice{At: time.Now(), Replicas: 1})
	if next() {
		t.Error("active after half a second without work")
	}
	if answer, err := client.IsActive(t.Context(), new(externalscaler.ScaledObjectRef)); err != nil || answer.GetResult() {
		t.Errorf("IsActive = %v, %v; want what the stream said", answer, err)
	}
	a.set(Advice{At: time.Now(), Replicas: 1, Working: true})
	if !next() {
		t.Error("not active when work has come")
	}
}
