package kube

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// parsePod reads a pod as the API server writes it.
func parsePod(t *testing.T, name, extra string) pod {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(`
metadata: {name: `+name+`, creationTimestamp: "2026-01-02T03:04:05Z"}
spec:
  containers:
    - {name: side}
    - {name: app, ports: [{name: metrics, containerPort: 9}, {name: http, containerPort: 5000}]}
`+extra), &object); err != nil {
		t.Fatal(err)
	}
	var p pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

const readyStatus = `
status:
  podIP: 10.0.0.7
  phase: Running
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-02T03:04:07Z"}]`

const unreadyStatus = `
status:
  podIP: 10.0.0.7
  phase: Running
  conditions: [{type: Ready, status: "False", lastTransitionTime: "2026-01-02T03:05:00Z"}]`

func TestReplicasOfPods(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := new(Deployment)
	describe := func(p pod) autoscale.Replica {
		r := d.replicas([]pod{p})[0]
		r.Created, r.ReadyAt, r.Turned = r.Created.UTC(), r.ReadyAt.UTC(), r.Turned.UTC()
		return r
	}
	ready := autoscale.Replica{Name: "a", URL: "http://10.0.0.7:5000", Created: created, ReadyAt: created.Add(2 * time.Second), Turned: created.Add(2 * time.Second), Ready: true}
	if got := describe(parsePod(t, "a", readyStatus)); !cmp.Equal(got, ready) {
		t.Errorf("ready pod: %s", cmp.Diff(ready, got))
	}
	// It does not count as starting: it has served before.
	ready.Ready, ready.Turned = false, created.Add(55*time.Second)
	if got := describe(parsePod(t, "a", unreadyStatus)); !cmp.Equal(got, ready) {
		t.Errorf("pod that was ready: %s", cmp.Diff(ready, got))
	}
	want := autoscale.Replica{Name: "b", Created: created}
	if got := describe(parsePod(t, "b", "status: {phase: Pending}")); !cmp.Equal(got, want) || !got.Starting() {
		t.Errorf("pending pod: %s", cmp.Diff(want, got))
	}
	leaving := parsePod(t, "c", readyStatus)
	leaving.Metadata.DeletionTimestamp = &metav1.Time{Time: created.Add(time.Minute)}
	if got := describe(leaving); !got.Stopping {
		t.Errorf("pod with a deletion timestamp: %+v, want it to be stopping", got)
	}
}

// TestFirstReadyIsForgottenWithThePod checks that a pod with a reused name is a new pod.
func TestFirstReadyIsForgottenWithThePod(t *testing.T) {
	t.Parallel()
	d := new(Deployment)
	d.replicas([]pod{parsePod(t, "a", readyStatus), parsePod(t, "b", unreadyStatus)})
	if len(d.readyAt) != 1 {
		t.Errorf("remembers %v, want only the one that was ready", d.readyAt)
	}
	d.replicas([]pod{parsePod(t, "b", readyStatus)})
	if _, known := d.readyAt["a"]; known || len(d.readyAt) != 1 {
		t.Errorf("remembers %v, want only b", d.readyAt)
	}
	if r := d.replicas([]pod{parsePod(t, "a", unreadyStatus)}); !r[0].ReadyAt.IsZero() {
		t.Errorf("another pod of the name was ready at %v, want never", r[0].ReadyAt)
	}
}

// TestPodURL uses the port named http, else the first; there is no URL without an address.
func TestPodURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{spec: {containers: [{ports: [{name: a, containerPort: 1}, {name: http, containerPort: 2}, {name: b, containerPort: 3}]}]}, status: {podIP: 10.0.0.7}}`: "http://10.0.0.7:2",
		`{spec: {containers: [{ports: [{name: a, containerPort: 1}]}, {ports: [{name: http, containerPort: 2}]}]}, status: {podIP: 10.0.0.7}}`:                   "http://10.0.0.7:2",
		`{spec: {containers: [{ports: [{name: a, containerPort: 1}, {name: b, containerPort: 3}]}]}, status: {podIP: "fd00::1"}}`:                                "http://[fd00::1]:1",
		`{spec: {containers: [{}]}, status: {podIP: 10.0.0.7}}`:                                                                                                  "",
		`{spec: {containers: [{ports: [{name: http, containerPort: 2}]}]}}`:                                                                                      "",
	} {
		var p pod
		if err := yaml.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if got := p.url(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestReadySince checks that only a true condition Ready counts.
func TestReadySince(t *testing.T) {
	t.Parallel()
	for conditions, want := range map[string]bool{
		`[]`: false,
		`[{type: ContainersReady, status: "True", lastTransitionTime: "2026-01-02T03:04:07Z"}]`:                                                                         false,
		`[{type: Ready, status: "Unknown", lastTransitionTime: "2026-01-02T03:04:07Z"}]`:                                                                                false,
		`[{type: PodScheduled, status: "True", lastTransitionTime: "2026-01-02T03:04:01Z"}, {type: Ready, status: "True", lastTransitionTime: "2026-01-02T03:04:07Z"}]`: true,
	} {
		p := parsePod(t, "a", "status: {conditions: "+conditions+"}")
		got := p.readySince()
		if got.IsZero() == want || want && got.UTC().Second() != 7 {
			t.Errorf("%s: ready since %v, want ready: %v", conditions, got, want)
		}
	}
}

func TestVictims(t *testing.T) {
	t.Parallel()
	ready := func(name string) pod { return parsePod(t, name, readyStatus) }
	stopping := ready("stopping")
	stopping.Metadata.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	tests := []struct {
		name  string
		pods  []pod
		order []string
		n     int
		want  []string
	}{
		{"the first in the order", []pod{ready("a"), ready("b"), ready("c")}, []string{"c", "a", "b"}, 1, []string{"a", "c"}},
		{"starting pods go by themselves", []pod{ready("a"), ready("b"), parsePod(t, "c", unreadyStatus)}, []string{"a", "b"}, 1, []string{"a"}},
		{"only starting pods go", []pod{ready("a"), parsePod(t, "c", unreadyStatus)}, []string{"a"}, 1, nil},
		{"those that stop already do not count", []pod{ready("a"), ready("b"), stopping}, []string{"stopping", "b", "a"}, 1, []string{"b"}},
		{"names of pods that are gone", []pod{ready("a"), ready("b")}, []string{"gone", "b", "a"}, 1, []string{"b"}},
		{"no order known", []pod{ready("a"), ready("b")}, nil, 1, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := slices.Sorted(maps.Keys(victims(test.pods, test.order, test.n))); !slices.Equal(got, test.want) {
				t.Errorf("victims(order %v, n %d) = %v, want %v", test.order, test.n, got, test.want)
			}
		})
	}
}

func TestOwnerIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, yaml string
		scales     bool
		remedy     string
	}{
		{"ours", `{metadata: {name: h}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}}}`, true, "kubectl delete hpa h"},
		{"an older version", `{metadata: {name: h}, spec: {scaleTargetRef: {apiVersion: apps/v1beta1, kind: Deployment, name: app}}}`, true, "kubectl delete hpa h"},
		{"KEDA's", `{metadata: {name: keda-hpa-s, ownerReferences: [{kind: ScaledObject, name: s}]},
			spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}}}`, true, "kubectl delete scaledobject s"},
		{"another Deployment's", `{metadata: {name: h}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: other}}}`, false, ""},
		{"a StatefulSet's", `{metadata: {name: h}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: app}}}`, false, ""},
		{"somebody's own Deployment", `{metadata: {name: h}, spec: {scaleTargetRef: {apiVersion: example.com/v1, kind: Deployment, name: app}}}`, false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var h hpa
			if err := yaml.Unmarshal([]byte(test.yaml), &h); err != nil {
				t.Fatal(err)
			}
			if got := h.scales("app"); got != test.scales {
				t.Fatalf("scales = %t, want %t", got, test.scales)
			}
			if got := h.remedy(); test.scales && !strings.Contains(got, test.remedy) {
				t.Errorf("remedy %q, want %q in it", got, test.remedy)
			}
		})
	}
}

func TestNoteSaysWhy(t *testing.T) {
	t.Parallel()
	why := autoscale.Decision{Policy: "deadline", Reasons: []autoscale.Reason{
		{Rule: autoscale.RuleRate, Replicas: 9, Value: 128, Limit: 20}, {Rule: autoscale.RuleMax, Replicas: 7, Value: 9}}}
	want := "5 -> 7 replicas (policy deadline): rate: 9 replicas, because 128 images/s are expected and one replica handles 20; " +
		"max: 7 replicas, because that is the maximum; the policy wanted 9"
	if got := note(5, 7, why); got != want {
		t.Errorf("note = %q, want %q", got, want)
	}
	if got, want := note(5, 7, autoscale.Decision{Policy: "kpa"}), "5 -> 7 replicas (policy kpa)"; got != want {
		t.Errorf("note = %q, want %q", got, want)
	}
	if got := cut("12345678", 8); got != "12345678" {
		t.Errorf("cut of what fits = %q", got)
	}
	if got := cut("123456789", 8); got != "12345…" {
		t.Errorf("cut of a byte too many = %q, want 8 bytes with the dots' three", got)
	}
	if got := cut(strings.Repeat("ä", 600), 1024); len(got) > 1024 || !strings.HasSuffix(got, "ä…") {
		t.Errorf("cut to 1024 bytes left %d, ending in %q", len(got), got[len(got)-6:])
	}
}
