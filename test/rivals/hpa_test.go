package rivals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/util/feature"
	autoscalinginformers "k8s.io/client-go/informers/autoscaling/v2"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

func TestMain(m *testing.M) {
	// The controller logs each decision and each missing metric, and sleeps a little after an error.
	klog.SetLogger(klog.Logger{})
	utilruntime.ErrorHandlers = nil
	// It would wait for its own writes in an informer's cache; here the object is written in place.
	if err := feature.DefaultMutableFeatureGate.Set("StaleControllerConsistencyHPA=false"); err != nil {
		panic(err)
	}
	m.Run()
}

// TestHPACPU compares autoscale.HPACPU with Kubernetes' controller, on both types of target, with and without behavior.
func TestHPACPU(t *testing.T) {
	compareHPA(t, func(random *rand.Rand, c *cluster) autoscale.Policy {
		percent := int32([]int{70, 50, 80, 110}[random.IntN(4)])
		target := autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}
		average := random.IntN(2) == 0
		if average {
			target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(int64(percent)*10, resource.DecimalSI)}
		}
		c.hpa.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: target}}}
		c.use = float64(percent) / 100
		return autoscale.NewHPACPU(autoscale.HPACPUConfig{HPAConfig: c.config, Target: c.use, AverageValue: average})
	})
}

// TestHPAExternal compares autoscale.HPAExternal with Kubernetes' controller.
func TestHPAExternal(t *testing.T) {
	compareHPA(t, func(random *rand.Rand, c *cluster) autoscale.Policy {
		target := []float64{10, 1, 0.8, 3}[random.IntN(4)]
		c.hpa.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "queue"},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(int64(target*1000), resource.DecimalSI)}}}}
		c.use = target
		return autoscale.NewHPAExternal(autoscale.HPAExternalConfig{HPAConfig: c.config, AverageValue: target})
	})
}

// TestKEDA compares autoscale.HPAExternal with Kubernetes' controller as k8s/keda.yaml sets it up.
func TestKEDA(t *testing.T) {
	data, err := os.ReadFile("../../k8s/keda.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(string(data), "\n---\n")
	var object struct {
		Spec struct {
			Advanced struct {
				HorizontalPodAutoscalerConfig struct {
					Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
				} `json:"horizontalPodAutoscalerConfig"`
			} `json:"advanced"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(documents[len(documents)-1]), &object); err != nil {
		t.Fatal(err)
	}
	behavior := object.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior
	stabilization, most := int32(0), autoscalingv2.MaxChangePolicySelect // defaults of the API server
	behavior.ScaleUp.StabilizationWindowSeconds, behavior.ScaleUp.SelectPolicy, behavior.ScaleDown.SelectPolicy = &stabilization, &most, &most
	behavior.ScaleDown.Policies = []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}}
	compareHPA(t, func(_ *rand.Rand, c *cluster) autoscale.Policy {
		c.hpa.Spec.Behavior = &behavior
		c.hpa.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "replicas_needed"},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(1000, resource.DecimalSI)}}}}
		c.use = 1
		c.config.Behavior = &autoscale.HPABehavior{Down: autoscale.ScalingRules{Stabilization: -1},
			Up: autoscale.ScalingRules{Policies: []autoscale.ScalingPolicy{{Percent: 900, Period: 15 * time.Second}}}}
		return autoscale.NewHPAExternal(autoscale.HPAExternalConfig{HPAConfig: c.config, AverageValue: 1})
	})
}

// compareHPA runs the controller and ours on random streams. The clock is synctest's.
func compareHPA(t *testing.T, policy func(*rand.Rand, *cluster) autoscale.Policy) {
	t.Parallel()
	ticks, changes := 0, 0
	for seed := range uint64(streams) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			c := newCluster(random)
			c.ours = policy(random, c)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			time.Sleep(500 * time.Millisecond) // it looks between the seconds
			controller := podautoscaler.NewHorizontalController(ctx, events{}, c, c, restMapper(), c, hpas{cluster: c}, podsOf{c},
				15*time.Second, 300*time.Second, 0.1, 5*time.Minute, 30*time.Second)
			running.Go(func() { controller.Run(ctx, 1) })
			synctest.Wait()
			c.handler.OnAdd(c.hpa, false)
			time.Sleep(500 * time.Millisecond)
			for range 1200 {
				time.Sleep(time.Second)
				c.mu.Lock()
				c.second()
				c.mu.Unlock()
			}
			cancel()
			running.Wait()
			c.finish()
			time.Sleep(time.Minute) // its queue ends by itself
			if c.different != "" {
				t.Errorf("seed %d, behavior %v: %s", seed, c.config.Behavior, c.different)
			}
			ticks, changes = ticks+c.looks, changes+c.changes
		})
		if t.Failed() {
			return
		}
	}
	if ticks < streams*70 || changes < ticks/20 {
		t.Errorf("%d changes in %d ticks: the streams compare nothing", changes, ticks)
	}
	t.Logf("%d ticks, %d changes of the number of replicas, no difference", ticks, changes)
}

// cluster is a Deployment with an HPA, as the controller sees it.
type cluster struct {
	mu      sync.Mutex // guards the rest
	random  *rand.Rand
	ours    autoscale.Policy
	config  autoscale.HPAConfig
	hpa     *autoscalingv2.HorizontalPodAutoscaler
	handler cache.ResourceEventHandler
	use     float64 // target

	desired int
	made    int
	pods    []*podState
	load    float64 // relative to the target of as many replicas as there are
	gap     int     // seconds without an external metric that are left
	queue   int

	looks, changes       int
	before, want, theirs int // at the last look: what there was, what ours decided, and what the controller did
	reasons              []autoscale.Reason
	different            string
}

// podState is a pod in all that counts.
type podState struct {
	name             string
	created, readyAt time.Time
	turned           time.Time
	pending, ready   bool
	stopping         bool
	cpu              int // in thousandths; negative if unknown
	scraped          time.Time
}

func newCluster(random *rand.Rand) *cluster {
	c := &cluster{random: random, load: 1, desired: 1 + random.IntN(10)}
	limits := autoscale.Limits{Min: 1 + random.IntN(3), Max: 20 + random.IntN(60)}
	least := int32(limits.Min)
	c.config = autoscale.HPAConfig{Limits: limits}
	c.hpa = &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "resnet18", ResourceVersion: "1"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &least, MaxReplicas: int32(limits.Max),
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "resnet18"}}}
	if random.IntN(3) > 0 {
		up, theirUp := rules(random, 0)
		down, theirDown := rules(random, 300)
		c.config.Behavior = &autoscale.HPABehavior{Up: up, Down: down}
		c.hpa.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: theirUp, ScaleDown: theirDown}
	}
	for range c.desired {
		c.add()
	}
	for _, p := range c.pods { // some are old
		if random.IntN(2) == 0 {
			p.created = p.created.Add(-time.Hour)
			p.readyAt, p.turned, p.ready, p.pending = p.created.Add(3*time.Second), p.created.Add(3*time.Second), true, false
		}
	}
	return c
}

// rules are random scaling rules, in our words and theirs.
func rules(random *rand.Rand, stabilization int32) (autoscale.ScalingRules, *autoscalingv2.HPAScalingRules) {
	var ours autoscale.ScalingRules
	most := autoscalingv2.MaxChangePolicySelect
	theirs := &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &stabilization, SelectPolicy: &most}
	if random.IntN(2) == 0 {
		*theirs.StabilizationWindowSeconds = []int32{0, 15, 60, 120}[random.IntN(4)]
	}
	ours.Stabilization = time.Duration(*theirs.StabilizationWindowSeconds) * time.Second
	if ours.Stabilization == 0 {
		ours.Stabilization = -1
	}
	for range 1 + random.IntN(2) {
		seconds := []int32{15, 60, 150}[random.IntN(3)]
		if n := int32(1 + random.IntN(6)); random.IntN(2) == 0 {
			ours.Policies = append(ours.Policies, autoscale.ScalingPolicy{Pods: int(n), Period: time.Duration(seconds) * time.Second})
			theirs.Policies = append(theirs.Policies, autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: n, PeriodSeconds: seconds})
		} else {
			ours.Policies = append(ours.Policies, autoscale.ScalingPolicy{Percent: int(n) * 20, Period: time.Duration(seconds) * time.Second})
			theirs.Policies = append(theirs.Policies, autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: n * 20, PeriodSeconds: seconds})
		}
	}
	return ours, theirs
}

func (c *cluster) add() {
	c.made++
	c.pods = append(c.pods, &podState{name: fmt.Sprint("pod-", c.made), created: time.Now(), turned: time.Now(), pending: true, cpu: -1})
}

// second lets a second pass: pods start, become ready and unready, end; figures come and go.
func (c *cluster) second() {
	r, now := c.random, time.Now()
	if r.IntN(90) == 0 {
		c.load = []float64{0, 0.3, 0.7, 1, 1, 1.3, 2, 5}[r.IntN(8)]
	}
	if r.IntN(400) == 0 { // by hand, perhaps beyond the limits
		c.desired = 1 + r.IntN(90)
	}
	kept := c.pods[:0]
	left := 0
	for _, p := range c.pods {
		switch {
		case p.stopping && r.IntN(5) == 0:
			continue
		case !p.stopping && left == c.desired:
			p.stopping = true
		case !p.stopping:
			left++
		}
		if p.pending {
			p.pending = r.IntN(3) > 0 // its container has not started
		} else if p.turns(r) {
			p.ready, p.turned = !p.ready, now
			if p.readyAt.IsZero() {
				p.readyAt = now
			}
		}
		if !p.pending && r.IntN(8) == 0 {
			p.scraped, p.cpu = now.Add(-time.Duration(r.IntN(20))*time.Second), max(0, int(1000*c.use*(c.load+0.1*r.NormFloat64())))
			if r.IntN(40) == 0 {
				p.cpu = -1
			}
		}
		kept = append(kept, p)
	}
	for c.pods = kept; left < c.desired; left++ {
		c.add()
	}
	c.queue = max(0, int(float64(left)*c.use*(c.load+0.1*r.NormFloat64())))
	if c.gap > 0 {
		c.gap--
	} else if r.IntN(200) == 0 {
		c.gap = r.IntN(60)
	}
}

// snapshot is the same in our words.
func (c *cluster) snapshot(now time.Time) autoscale.Snapshot {
	s := autoscale.Snapshot{At: now, Queue: c.queue, Desired: c.desired}
	if c.gap > 0 {
		s.At = now.Add(-time.Minute)
	}
	for _, p := range c.pods {
		seen := autoscale.Replica{Name: p.name, Created: p.created, ReadyAt: p.readyAt, Turned: p.turned, Ready: p.ready, Stopping: p.stopping}
		if p.cpu >= 0 {
			use := float64(p.cpu) / 1000
			seen.CPU, seen.CPUWindow = &use, autoscale.Window{End: p.scraped, Length: 15 * time.Second}
		}
		s.Replicas = append(s.Replicas, seen)
	}
	return s
}

// finish compares the decisions of the last look.
func (c *cluster) finish() {
	if c.looks == 0 {
		return
	}
	if c.want != c.theirs && c.different == "" {
		c.different = fmt.Sprintf("look %d: %d replicas, Kubernetes says %d; %v", c.looks, c.want, c.theirs, c.reasons)
	}
	if c.theirs != c.before {
		c.changes++
	}
}

// Scales, Get, Update and Patch are the client of the scale subresource.
func (c *cluster) Scales(string) scale.ScaleInterface { return c }

// Get begins a decision of the controller.
func (c *cluster) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.finish()
	c.looks++
	d := c.ours.Decide(now, c.snapshot(now))
	c.before, c.want, c.theirs, c.reasons = c.desired, d.Replicas, c.desired, d.Reasons
	alive := 0
	for _, p := range c.pods {
		if !p.stopping {
			alive++
		}
	}
	return &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "resnet18", ResourceVersion: "1"},
		Spec: autoscalingv1.ScaleSpec{Replicas: int32(c.desired)}, Status: autoscalingv1.ScaleStatus{Replicas: int32(alive), Selector: "app=resnet18"}}, nil
}

// Update sets the number of replicas.
func (c *cluster) Update(_ context.Context, _ schema.GroupResource, s *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.theirs, c.desired = int(s.Spec.Replicas), int(s.Spec.Replicas)
	return s, nil
}

// Patch is not used.
func (c *cluster) Patch(context.Context, schema.GroupVersionResource, string, types.PatchType, []byte, metav1.PatchOptions) (*autoscalingv1.Scale, error) {
	return nil, errors.ErrUnsupported
}

// GetResourceMetric is the metrics server.
func (c *cluster) GetResourceMetric(context.Context, corev1.ResourceName, string, labels.Selector, string) (metrics.PodMetricsInfo, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := metrics.PodMetricsInfo{}
	for _, p := range c.pods {
		if p.cpu >= 0 {
			all[p.name] = metrics.PodMetric{Timestamp: p.scraped, Window: 15 * time.Second, Value: int64(p.cpu)}
		}
	}
	return all, time.Now(), nil
}

// GetExternalMetric is the length of the queue, or an error while there are no figures.
func (c *cluster) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gap > 0 {
		return nil, time.Time{}, errors.New("no figures")
	}
	return []int64{int64(c.queue) * 1000}, time.Now(), nil
}

// GetRawMetric and GetObjectMetric are not used.
func (c *cluster) GetRawMetric(string, string, labels.Selector, labels.Selector) (metrics.PodMetricsInfo, time.Time, error) {
	return nil, time.Time{}, errors.ErrUnsupported
}

func (c *cluster) GetObjectMetric(string, string, *autoscalingv2.CrossVersionObjectReference, labels.Selector) (int64, time.Time, error) {
	return 0, time.Time{}, errors.ErrUnsupported
}

// HorizontalPodAutoscalers is the client that writes the status.
func (c *cluster) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return statusWriter{cluster: c}
}

type statusWriter struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
	cluster *cluster
}

// UpdateStatus keeps the object as the informer's copy.
func (w statusWriter) UpdateStatus(_ context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	w.cluster.hpa = hpa
	return hpa, nil
}

// informer is one whose objects are those of the cluster: there is nothing to list and watch.
type informer struct {
	cache.SharedIndexInformer
	cluster *cluster
}

func (informer) HasSynced() bool { return true }

// AddEventHandlerWithResyncPeriod keeps the controller's handler.
func (i informer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	i.cluster.handler = handler
	return nil, nil
}

// hpas and podsOf are the informers of the controller.
type hpas struct {
	autoscalinginformers.HorizontalPodAutoscalerInformer
	cluster *cluster
}

func (h hpas) Informer() cache.SharedIndexInformer { return informer{cluster: h.cluster} }

func (h hpas) Lister() autoscalinglisters.HorizontalPodAutoscalerLister {
	return hpaLister{cluster: h.cluster}
}

type hpaLister struct {
	autoscalinglisters.HorizontalPodAutoscalerLister
	autoscalinglisters.HorizontalPodAutoscalerNamespaceLister
	cluster *cluster
}

func (l hpaLister) HorizontalPodAutoscalers(string) autoscalinglisters.HorizontalPodAutoscalerNamespaceLister {
	return l
}

// Get is the object as its status was last written.
func (l hpaLister) Get(string) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	return l.cluster.hpa, nil
}

// List settles which of the embedded listers has it.
func (l hpaLister) List(labels.Selector) ([]*autoscalingv2.HorizontalPodAutoscaler, error) {
	return nil, errors.ErrUnsupported
}

type podsOf struct{ cluster *cluster }

func (p podsOf) Informer() cache.SharedIndexInformer { return informer{cluster: p.cluster} }

func (p podsOf) Lister() corelisters.PodLister { return p }

// List, Pods and Get are the lister: the pods as they are now.
func (p podsOf) List(labels.Selector) ([]*corev1.Pod, error) {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	all := make([]*corev1.Pod, 0, len(p.cluster.pods))
	for _, s := range p.cluster.pods {
		all = append(all, s.object())
	}
	return all, nil
}

func (p podsOf) Pods(string) corelisters.PodNamespaceLister { return p }

func (p podsOf) Get(string) (*corev1.Pod, error) { return nil, errors.ErrUnsupported }

// object is the pod as Kubernetes has it.
func (p *podState) object() *corev1.Pod {
	ready := corev1.ConditionFalse
	if p.ready {
		ready = corev1.ConditionTrue
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: p.name, Labels: map[string]string{"app": "resnet18"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "replica", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &metav1.Time{Time: p.created},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.NewTime(p.turned)}}}}
	// Ours have no phase: a replica that was never ready and has no CPU usage is taken for Pending.
	if p.readyAt.IsZero() && p.cpu < 0 {
		pod.Status.Phase = corev1.PodPending
	}
	if p.stopping {
		pod.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	}
	return pod
}

// turns decides whether a pod becomes ready or unready in this second.
func (p *podState) turns(random *rand.Rand) bool {
	if p.ready {
		return random.IntN(200) == 0
	}
	return random.IntN(4) == 0
}

func restMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	m.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	return m
}

// events drops what the controller tells.
type events struct{ coreclient.EventInterface }

func (e events) Events(string) coreclient.EventInterface { return e }

func (events) CreateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) { return e, nil }
func (events) UpdateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) { return e, nil }
func (events) PatchWithEventNamespace(e *corev1.Event, _ []byte) (*corev1.Event, error) {
	return e, nil
}
