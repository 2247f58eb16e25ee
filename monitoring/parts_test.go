package monitoring_test

import (
	"context"
	"flag"
	"io"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/autoscaler"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

var update = flag.Bool("update", false, "rewrite the files that the tests compare")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// classifier has one label for all pictures.
type classifier struct{}

func (classifier) Classify(context.Context, resnet18cloud.Image) (resnet18cloud.Result, error) {
	return resnet18cloud.Result{Predictions: []string{"junco"}}, nil
}

// models are those of a replica that tries a new version.
type models struct{ classifier }

func (models) Models() resnet18cloud.Models {
	return resnet18cloud.Models{Models: []resnet18cloud.ModelStatus{
		{Name: "birds", Version: "1", State: resnet18cloud.ModelServing},
		{Name: "birds", Version: "2", State: resnet18cloud.ModelCanary, Canary: &resnet18cloud.Canary{Compared: 3, Equal: 2}},
	}}
}

func (models) Reload(context.Context) error { return nil }

func (m models) Hold(string) (resnet18cloud.Classifier, resnet18cloud.ModelStatus, func(), error) {
	return m.classifier, resnet18cloud.ModelStatus{}, func() {}, nil
}

// fixed is a scaler of one replica.
type fixed struct{}

func (fixed) Scale(context.Context) (autoscale.Scale, error) {
	now := time.Now()
	return autoscale.Scale{Desired: 1, Replicas: []autoscale.Replica{{Name: "a", Created: now, ReadyAt: now, Ready: true}}}, nil
}

func (fixed) SetReplicas(context.Context, int, autoscale.Decision) error { return nil }

// part is a server that runs until the test ends.
type part interface {
	Listen() error
	URL() string
	Run(ctx context.Context) error
}

// startParts starts a dispatcher, a replica and an autoscaler, and returns the URLs by their names in metrics. Each has every
// metric that it can have.
func startParts(t *testing.T) map[string]string {
	t.Helper()
	agreement := 0.99
	r, err := replica.New(replica.Config{Addr: "127.0.0.1:0", Concurrency: 1, Models: models{}, Model: func() replica.Model {
		return replica.Model{Weights: "resnet18-random", Precision: "int8", Kernels: "avx2", Version: "v0.0.0",
			Quantization: &replica.Quantization{State: "adopted", States: []string{"observing", "adopted"}, Compared: 3, Equal: 2, Agreement: &agreement}}
	}}, classifier{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, r)
	d, err := dispatch.New(dispatch.Config{Addr: "127.0.0.1:0", Version: "v0.0.0", Endpoints: []string{r.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, d)
	if err := d.AwaitReplica(t.Context()); err != nil {
		t.Fatal(err)
	}
	policy, _ := autoscale.KindOf("deadline")
	a, err := autoscaler.New(autoscaler.Config{Addr: "127.0.0.1:0", Version: "v0.0.0", Dispatchers: []string{d.URL()}, Scaler: fixed{},
		NewPolicy: func() autoscale.Policy {
			return policy.New(autoscale.Settings{Limits: autoscale.Limits{Min: 1, Max: 2}, SLO: time.Second})
		}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	return map[string]string{"dispatcher": d.URL(), "replica": r.URL(), "autoscaler": a.URL()}
}

// run runs a part until the test ends.
func run(t *testing.T, p part) {
	t.Helper()
	if err := p.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
}

// scrape returns the metrics of a server in Prometheus' text format.
func scrape(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s/metrics: %s, %v", url, resp.Status, err)
	}
	return string(body)
}
