package plan

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscaling "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// one replica does 100/s and held p99 < 500 ms at 90/s.
var one = Replica{Rate: 90, Capacity: 100, Limit: 510 * time.Millisecond, Share: 0.01, CPUSeconds: 0.009, MemoryBytes: 150 << 20}

func make1(t *testing.T, c Config) *Plan {
	t.Helper()
	p, err := Make(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestModelPredictsTheMeasurement: at the measured rate one replica is enough, and above it is not.
func TestModelPredictsTheMeasurement(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]int{90: 1, 90.5: 2, 1: 1} {
		if p := make1(t, Config{Replica: one, Schedule: schedule.Constant(rate, time.Minute)}); p.Max != want {
			t.Errorf("%v/s: %d replicas, want %d", rate, p.Max, want)
		}
	}
	// (100-90) * 0.5 s / ln(0.9/0.01): the formula above, by hand.
	if v := one.variability(); math.Abs(v-1.1112) > 1e-4 {
		t.Errorf("variability %.5f, want 1.1112", v)
	}
}

// TestManyReplicasShareAQueue: the plan holds the limit by the formula, one replica fewer does not, and ten
// replicas hold more than ten times one replica's rate.
func TestManyReplicasShareAQueue(t *testing.T) {
	t.Parallel()
	p := make1(t, Config{Replica: one, Schedule: schedule.Constant(950, time.Minute)})
	tail := func(n int) float64 { return queueing.WaitTail(n, 950, 100, p.Variability, 0.5) }
	if tail(p.Max) > 0.01 || tail(p.Max-1) <= 0.01 {
		t.Errorf("%d replicas: %.4f wait longer, with one fewer %.4f", p.Max, tail(p.Max), tail(p.Max-1))
	}
	if p.Max != 10 {
		t.Errorf("950/s: %d replicas, want 10: they share the spare that each would need alone", p.Max)
	}
}

// TestBill adds up a schedule of a minute at 90/s and a minute at nothing, by hand.
func TestBill(t *testing.T) {
	t.Parallel()
	p := make1(t, Config{
		Replica: one, Schedule: schedule.Schedule{Rates: []float64{180, 0}, Step: time.Minute},
		Prices: Prices{CPUHour: 6, GiBHour: 60},
	})
	if p.Min != 1 || p.Max != 2 || p.Mean != 1.5 {
		t.Fatalf("replicas %d, %d, %.2f; want 1, 2, 1.5", p.Min, p.Max, p.Mean)
	}
	// 10,800 images. Static: 2 replicas of 1 CPU and 192 MiB (150 * 1.25 = 187.5) for 2 minutes: 4/60 CPU hours
	// for 0.4, and 4/60 * 0.1875 GiB hours for 0.75: 1.15 / 10,800 * 1e6 = 106.48.
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-2*want {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	near("CPU hours", p.Static.CPUHours, 4./60)
	near("per million, static", p.Static.PerMillion, 106.48)
	near("per million, scaled", p.Scaled.PerMillion, 79.86)
	near("utilization", p.Static.Utilization, 10800./24000)
	near("HPA", p.HPACPU, 85*0.009) // not 90: it must see more than a tenth above it, of at most 100
	if p.QueuePerReplica != 25 {    // half of 0.5 s at 100/s
		t.Errorf("queue per replica %d, want 25", p.QueuePerReplica)
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	good := Config{Replica: one, Schedule: schedule.Constant(10, time.Minute)}
	for want, spoil := range map[string]func(*Config){
		"at no rate":      func(c *Config) { c.Rate = 0 },
		"not on a perc":   func(c *Config) { c.Share = 0 },
		"sends nothing":   func(c *Config) { c.Schedule = schedule.Schedule{} },
		"negative":        func(c *Config) { c.Headroom = -1 },
		"need 5 replicas": func(c *Config) { c.Schedule, c.MaxReplicas = schedule.Constant(2000, time.Second), 5 },
	} {
		c := good
		spoil(&c)
		if _, err := Make(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

// TestText: the figures of a plan, and CPUs of which a replica has less than one.
func TestText(t *testing.T) {
	t.Parallel()
	c := Config{Replica: one, Schedule: schedule.Schedule{Name: "90,180", Rates: []float64{90, 180}, Step: time.Minute}, Headroom: 0.2}
	c.CPUs = 0.5
	var b strings.Builder
	if err := make1(t, c).Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"p99<510ms holds at 90.0 requests/s; capacity 100.0 answers/s; 9.0 ms of CPU time per image",
		"90,180: 16200 images in 2m0s, at most 180/s, with a headroom of 20 %",
		"2 at the lowest rate, 3 at the highest, 2.50 on average",
		"cpu: 500m, memory: 192Mi",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, b.String())
		}
	}
}

// TestYAMLIsValid reads the HPA as Kubernetes' own type, without a field to spare, and KEDA's as its
// documentation has it ("ScaledObject specification", "Metrics API").
func TestYAMLIsValid(t *testing.T) {
	t.Parallel()
	p := make1(t, Config{Replica: one, Schedule: schedule.Constant(300, time.Minute), Headroom: 0.2})
	var b strings.Builder
	if err := p.YAML(&b); err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(b.String(), "---\n")
	if len(documents) != 3 {
		t.Fatalf("%d documents, want 3", len(documents))
	}
	var hpa autoscaling.HorizontalPodAutoscaler
	if err := yaml.UnmarshalStrict([]byte(documents[0]), &hpa); err != nil {
		t.Fatal(err)
	}
	metric := hpa.Spec.Metrics[0]
	if hpa.APIVersion != autoscaling.SchemeGroupVersion.String() || hpa.Spec.MaxReplicas != int32(p.Max) || *hpa.Spec.MinReplicas != int32(p.Min) ||
		metric.Type != autoscaling.ResourceMetricSourceType || metric.Resource.Target.Type != autoscaling.AverageValueMetricType ||
		metric.Resource.Target.AverageValue.String() != millis(p.HPACPU) {
		t.Errorf("HPA %+v", hpa)
	}
	var keda struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
		Spec             struct {
			ScaleTargetRef                   struct{ Name string }
			MinReplicaCount, MaxReplicaCount int
			Triggers                         []struct {
				Type     string
				Metadata map[string]string // values are strings, numbers too
			}
		}
	}
	if err := yaml.UnmarshalStrict([]byte(documents[1]), &keda); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"url": "http://dispatcher-service:8080/status", "valueLocation": "queue_size", "targetValue": strconv.Itoa(p.QueuePerReplica)}
	if keda.Spec.MaxReplicaCount != p.Max || keda.Spec.Triggers[0].Type != "metrics-api" || !cmp.Equal(keda.Spec.Triggers[0].Metadata, want) {
		t.Errorf("KEDA %+v", keda)
	}
	var helm map[string]any
	if err := yaml.Unmarshal([]byte(documents[2]), &helm); err != nil {
		t.Fatal(err)
	}
	requests := map[string]any{"cpu": "1000m", "memory": "192Mi"}
	if diff := cmp.Diff(requests, helm["resources"].(map[string]any)["requests"]); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	limits := map[string]any{"cpu": "1000m", "memory": "512Mi"}
	if diff := cmp.Diff(limits, helm["resources"].(map[string]any)["limits"]); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	// Both scale what stands in k8s/.
	manifest, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", "hpa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var ours autoscaling.HorizontalPodAutoscaler
	if err := yaml.Unmarshal(manifest, &ours); err != nil {
		t.Fatal(err)
	}
	if ours.Spec.ScaleTargetRef != hpa.Spec.ScaleTargetRef || ours.Name != hpa.Name || keda.Spec.ScaleTargetRef.Name != ours.Spec.ScaleTargetRef.Name {
		t.Errorf("plan scales %+v and %+v, k8s/hpa.yaml %+v", hpa.Spec.ScaleTargetRef, keda.Spec.ScaleTargetRef, ours.Spec.ScaleTargetRef)
	}
}

// TestHPAFollowsTheHeadroom: at the schedule's highest rate an HPA with the plan's target asks for about the
// plan's replicas, and its target leaves it a tenth to see.
func TestHPAFollowsTheHeadroom(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{50, 300, 3000} {
		p := make1(t, Config{Replica: one, Schedule: schedule.Constant(rate, time.Minute), Headroom: 0.2})
		asks := math.Ceil(rate * p.CPUSeconds / p.HPACPU)
		if asks < float64(p.Max) || asks > 1.15*float64(p.Max)+1 {
			t.Errorf("%v/s: the HPA asks for %v replicas, the plan has %d", rate, asks, p.Max)
		}
		if p.HPACPU > 0.9*p.Capacity*p.CPUSeconds {
			t.Errorf("%v/s: target %v of at most %v CPUs", rate, p.HPACPU, p.Capacity*p.CPUSeconds)
		}
	}
}
