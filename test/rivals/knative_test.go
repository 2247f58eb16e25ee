package rivals

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// streams is the number of random streams of each comparison.
const streams = 200

// TestKPA compares autoscale.KPA with knative.dev/serving/pkg/autoscaler: its collector of figures and its autoscaler.
func TestKPA(t *testing.T) {
	t.Parallel()
	ticks, changes := 0, 0
	for seed := range uint64(streams) {
		synctest.Test(t, func(t *testing.T) {
			k := newKnative(t, rand.New(rand.NewPCG(seed, 1)))
			defer k.collector.Delete(key.Namespace, key.Name)
			for range 600 {
				time.Sleep(time.Second)
				k.second()
				if time.Now().Unix()%2 == 0 { // it decides every other second, from the first
					k.ours.Decide(time.Now(), k.snapshot())
					continue
				}
				ticks++
				want, got := k.theirs(), k.ours.Decide(time.Now(), k.snapshot())
				if got.Replicas != want {
					t.Fatalf("seed %d, tick %d: %d replicas, Knative says %d; %s", seed, ticks, got.Replicas, want, got.Because())
				}
				if want != k.desired {
					changes++
				}
				k.desired = want
			}
		})
	}
	if changes < ticks/100 {
		t.Errorf("%d changes in %d ticks: the streams compare nothing", changes, ticks)
	}
	t.Logf("%d ticks, %d changes of the number of replicas, no difference", ticks, changes)
}

var key = types.NamespacedName{Namespace: "default", Name: "resnet18"}

// knative is a random service, with both autoscalers.
type knative struct {
	random      *rand.Rand
	collector   *metrics.MetricCollector
	scaler      scaling.UniScaler
	ours        *autoscale.KPA
	limits      autoscale.Limits
	utilization float64

	at      time.Time // of the figures
	gap     int       // seconds without figures that are left
	load    float64
	waiting int
	desired int
	ready   int
}

// ReadyCount and NotReadyCount make it the counter of pods.
func (k *knative) ReadyCount() (int, error)    { return k.ready, nil }
func (k *knative) NotReadyCount() (int, error) { return k.desired - k.ready, nil }

func newKnative(t *testing.T, random *rand.Rand) *knative {
	k := &knative{random: random, limits: autoscale.Limits{Min: 1, Max: 60}, load: 5 * random.ExpFloat64()}
	k.desired = 1 + random.IntN(8)
	k.ready = random.IntN(k.desired + 1)
	k.utilization = []float64{0.7, 0.85, 0.5, 1}[random.IntN(4)]
	k.ours = autoscale.NewKPA(autoscale.KPAConfig{Limits: k.limits, Utilization: k.utilization})
	k.collector = metrics.NewMetricCollector(func(*v1alpha1.Metric, *zap.SugaredLogger) (metrics.StatsScraper, error) {
		return nil, nil // figures are recorded, as those of the activator are
	}, zap.NewNop().Sugar())
	err := k.collector.CreateOrUpdate(&v1alpha1.Metric{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: v1alpha1.MetricSpec{StableWindow: time.Minute, PanicWindow: 6 * time.Second, ScrapeTarget: "resnet18"}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// second lets a second of load pass.
func (k *knative) second() {
	r := k.random
	switch {
	case r.IntN(60) == 0:
		k.load = 20 * r.ExpFloat64()
	case r.IntN(200) == 0:
		k.load = 0
	}
	switch {
	case k.gap > 0:
		k.gap--
	case r.IntN(50) == 0:
		k.gap = []int{1, 2, 5, 7, 58, 59, 60, 61, 62, 90}[r.IntN(10)]
	}
	if k.gap == 0 {
		k.at = time.Now()
		k.waiting = max(0, int(k.load+2*r.NormFloat64()))
		k.collector.Record(key, k.at, metrics.Stat{PodName: "activator", AverageConcurrentRequests: float64(k.waiting)})
	}
	switch { // pods become ready, and sometimes unready again
	case k.ready > k.desired:
		k.ready = k.desired
	case r.IntN(30) == 0:
		k.ready = r.IntN(k.desired + 1)
	case k.ready < k.desired && r.IntN(2) == 0:
		k.ready++
	}
}

func (k *knative) snapshot() autoscale.Snapshot {
	s := autoscale.Snapshot{At: k.at, Queue: k.waiting, Desired: k.desired, Replicas: make([]autoscale.Replica, k.desired)}
	for i := range s.Replicas {
		s.Replicas[i] = autoscale.Replica{Name: fmt.Sprint(i), Ready: i < k.ready}
	}
	return s
}

// theirs is the decision of Knative's code, within the limits that its reconciler applies.
func (k *knative) theirs() int {
	if k.scaler == nil { // made when the first decision is due, as ours
		k.scaler = scaling.New(*attribute.EmptySet(), noop.NewMeterProvider(), key.Namespace, key.Name, k.collector, k, &scaling.DeciderSpec{
			MaxScaleUpRate: 1000, MaxScaleDownRate: 2, ScalingMetric: "concurrency", TargetValue: k.utilization, TotalValue: 1,
			PanicThreshold: 2, StableWindow: time.Minute, Reachable: true})
	}
	result := k.scaler.Scale(zap.NewNop().Sugar(), time.Now())
	if !result.ScaleValid {
		return k.desired
	}
	return min(k.limits.Max, max(k.limits.Min, int(result.DesiredPodCount)))
}
