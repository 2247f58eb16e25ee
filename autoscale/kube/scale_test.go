package kube

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

var why = autoscale.Decision{Policy: "deadline", Reasons: []autoscale.Reason{{Rule: autoscale.RuleSteady, Replicas: 5}}}

// TestScaleReads checks the Deployment's size and its pods, without those that have ended.
func TestScaleReads(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 3)
	a.add("a", true, "")
	a.add("b", false, "")
	for _, phase := range []string{"Succeeded", "Failed"} {
		a.add(phase, true, "")
		a.pods[len(a.pods)-1]["status"].(map[string]any)["phase"] = phase
	}
	scale, err := a.d.Scale(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range scale.Replicas {
		names = append(names, r.Name)
	}
	if scale.Desired != 3 || !slices.Equal(names, []string{"a", "b"}) || !scale.Replicas[0].Ready || scale.Replicas[1].Ready {
		t.Errorf("Scale = %+v, want 3 wanted, a ready, b not", scale)
	}
	a.replicas = 0
	if scale, err := a.d.Scale(t.Context()); err != nil || scale.Desired != 0 {
		t.Errorf("Scale of a Deployment set to none = %+v, %v", scale, err)
	}
	a.selector = ""
	if _, err := a.d.Scale(t.Context()); err == nil || !strings.Contains(err.Error(), "ns/app: it has no selector") {
		t.Errorf("Scale without a selector, which all pods would match: %v", err)
	}
}

// TestScaleErrors checks that errors say what to do where that is known.
func TestScaleErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request string
		code    int
		reason  string
		want    []string
	}{
		"no such Deployment": {"GET deployments/app/scale", http.StatusNotFound, "NotFound", []string{"read size of ns/app", "kubectl get deployments -n ns"}},
		"no right":           {"GET deployments/app/scale", http.StatusForbidden, "Forbidden", []string{"read size of ns/app", "k8s/autoscaler.yaml"}},
		"broken server":      {"GET deployments/app/scale", http.StatusInternalServerError, "InternalError", []string{"read size of ns/app"}},
		"pods":               {"GET pods", http.StatusInternalServerError, "InternalError", []string{"list pods of ns/app"}},
	} {
		a := newAPI(t, 3)
		a.fails(test.request, test.code, test.reason)
		_, err := a.d.Scale(t.Context())
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", name, err, want)
			}
		}
		hint := strings.Contains(name, "no ")
		if err != nil && strings.Contains(err.Error(), "(k") != hint {
			t.Errorf("%s: %v, want a hint: %v", name, err, hint)
		}
	}
}

// TestSetReplicasUp checks that it writes the number and an Event with the reason, and marks no pod.
func TestSetReplicasUp(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 3)
	a.add("a", true, "-1")
	a.lead()
	if err := a.d.SetReplicas(t.Context(), 5, why); err != nil || a.replicas != 5 {
		t.Fatalf("SetReplicas = %v, %d replicas", err, a.replicas)
	}
	if got, want := a.wrote(), []string{"PUT deployments/app/scale", "POST events"}; !slices.Equal(got, want) {
		t.Errorf("wrote %q, want %q", got, want)
	}
	event := a.events[0]
	if when, err := time.Parse(time.RFC3339Nano, event["eventTime"].(string)); err != nil || time.Since(when).Abs() > time.Minute {
		t.Errorf("event of %v", event["eventTime"])
	}
	delete(event, "eventTime")
	want := map[string]any{"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": map[string]any{"generateName": "app-"},
		"type": "Normal", "action": "Scale", "reason": "ScaledUp", "reportingController": "resnet18cloud.io/autoscaler", "reportingInstance": a.d.identity,
		"regarding": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "ns", "name": "app", "uid": "u-1"},
		"note":      "3 -> 5 replicas (policy deadline): steady: keeping 5, because nothing calls for a change"}
	if diff := cmp.Diff(want, event); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}

	if err := a.d.SetReplicas(t.Context(), 5, why); err != nil {
		t.Fatal(err)
	}
	if got := a.wrote(); got != nil {
		t.Errorf("setting as many as there are wrote %q", got)
	}
}

// TestSetReplicasDown checks that it marks the first pods of the order, as many as are to go, before it writes the number, and removes
// marks from those that stay.
func TestSetReplicasDown(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 4)
	a.add("a", true, "")
	a.add("b", true, "-1") // marked before, stays now
	a.add("c", true, "")
	a.add("d", true, "5") // another's mark
	a.add("e", false, "") // goes first by itself
	a.add("f", true, "-1")
	a.pods[5]["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-02T03:05:00Z"
	a.lead()
	order := []string{"f", "c", "gone", "a", "b", "d"}
	if err := a.d.OrderRemoval(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	order[1] = "d" // the caller may reuse its slice
	if err := a.d.SetReplicas(t.Context(), 2, why); err != nil || a.replicas != 2 {
		t.Fatalf("SetReplicas = %v, %d replicas", err, a.replicas)
	}
	got := a.wrote()
	slices.Sort(got[:3])
	if want := []string{"PATCH pods/a", "PATCH pods/b", "PATCH pods/c", "PUT deployments/app/scale", "POST events"}; !slices.Equal(got, want) {
		t.Errorf("wrote %q, want %q", got, want)
	}
	marks := map[string]any{}
	for _, p := range a.pods {
		annotations, _ := p["metadata"].(map[string]any)["annotations"].(map[string]any)
		marks[nameOf(p)] = annotations[deletionCost]
	}
	if diff := cmp.Diff(map[string]any{"a": "-1", "b": nil, "c": "-1", "d": "5", "e": nil, "f": "-1"}, marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if got := a.events[0]["reason"]; got != "ScaledDown" {
		t.Errorf("reason of the event %q, want ScaledDown", got)
	}
}

// TestSetReplicasWritesNothing without the lease, if another scales the Deployment, or if marking fails.
func TestSetReplicasWritesNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(*api)
		want    error
		text    string
	}{
		"not the leader":   {func(*api) {}, ErrNotLeader, "an unknown process"},
		"another's lease":  {func(a *api) { a.d.lease.set(t.Context(), time.Time{}, "other") }, ErrNotLeader, "other"},
		"somebody's HPA":   {func(a *api) { a.lead(); a.hpas = append(a.hpas, ourHPA()) }, ErrOwned, "ns/app is scaled by HorizontalPodAutoscaler"},
		"nobody may look":  {func(a *api) { a.lead(); a.fails("GET horizontalpodautoscalers", 403, "Forbidden") }, nil, "k8s/autoscaler.yaml"},
		"the server fails": {func(a *api) { a.lead(); a.fails("GET horizontalpodautoscalers", 500, "InternalError") }, nil, "look for a HorizontalPodAutoscaler of ns/app"},
		"no size":          {func(a *api) { a.lead(); a.fails("GET deployments/app/scale", 500, "InternalError") }, nil, "read size"},
		"no pods":          {func(a *api) { a.lead(); a.fails("GET pods", 500, "InternalError") }, nil, "list pods"},
		"no mark":          {func(a *api) { a.lead(); a.fails("PATCH pods/a", 500, "InternalError") }, nil, "mark pod a"},
		"not taken":        {func(a *api) { a.lead(); a.fails("PUT deployments/app/scale", 500, "InternalError") }, nil, "set size of ns/app"},
		"always too late":  {func(a *api) { a.lead(); a.fails("PUT deployments/app/scale", 409, "Conflict") }, nil, "set size of ns/app"},
	} {
		a := newAPI(t, 3)
		a.add("a", true, "")
		a.add("b", true, "")
		test.prepare(a)
		if err := a.d.OrderRemoval(t.Context(), []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		err := a.d.SetReplicas(t.Context(), 1, why)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: SetReplicas = %v, want %v with %q", name, err, test.want, test.text)
		}
		if errors.Is(err, ErrNotLeader) != errors.Is(test.want, ErrNotLeader) {
			t.Errorf("%s: SetReplicas = %v: is it about the lease?", name, err)
		}
		for _, request := range a.wrote() {
			if !strings.HasPrefix(request, "PATCH") || test.want != nil {
				t.Errorf("%s: %s was sent", name, request)
			}
		}
		if a.replicas != 3 {
			t.Errorf("%s: %d replicas", name, a.replicas)
		}
	}
}

// TestSetReplicasAfterAConflict checks that it reads again, and marks by the new reading.
func TestSetReplicasAfterAConflict(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 3)
	a.lead()
	conflicts := 0
	a.answer = func(request string) (int, string) {
		if request == "PUT deployments/app/scale" && conflicts < 2 {
			conflicts++
			a.version++
			return http.StatusConflict, "Conflict"
		}
		return 0, ""
	}
	if err := a.d.SetReplicas(t.Context(), 5, why); err != nil || a.replicas != 5 || conflicts != 2 {
		t.Errorf("SetReplicas = %v after %d conflicts, %d replicas", err, conflicts, a.replicas)
	}
	if len(a.events) != 1 {
		t.Errorf("%d events, want one", len(a.events))
	}
}

// TestAMarkOfAPodThatIsGone checks that marking a deleted pod is no error, nor is a rejected Event.
func TestAMarkOfAPodThatIsGone(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 2)
	a.add("a", true, "")
	a.add("b", true, "")
	a.lead()
	if err := a.d.OrderRemoval(t.Context(), []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	a.fails("PATCH pods/a", http.StatusNotFound, "NotFound")
	if err := a.d.SetReplicas(t.Context(), 1, why); err != nil || a.replicas != 1 {
		t.Errorf("SetReplicas = %v, %d replicas", err, a.replicas)
	}
	var log strings.Builder
	a.logTo(&log)
	a.fails("POST events", http.StatusForbidden, "Forbidden")
	if err := a.d.SetReplicas(t.Context(), 4, why); err != nil || a.replicas != 4 || !strings.Contains(log.String(), "cannot write event") {
		t.Errorf("SetReplicas = %v, %d replicas, logged %q", err, a.replicas, log.String())
	}
}

// TestTheLeaseRunsOut checks that the error says that the lease expired during a request. Other errors do not say so.
func TestTheLeaseRunsOut(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 3)
	a.d.lease.set(t.Context(), time.Now().Add(50*time.Millisecond), a.d.identity)
	hold := make(chan struct{})
	a.answer = func(request string) (int, string) {
		if request == "GET deployments/app/scale" {
			<-hold
		}
		return 0, ""
	}
	err := a.d.SetReplicas(t.Context(), 5, why)
	close(hold)
	if !errors.Is(err, ErrNotLeader) || !strings.Contains(err.Error(), "expired during the request") {
		t.Errorf("SetReplicas = %v, want that the lease expired", err)
	}
	if got := a.wrote(); got != nil {
		t.Errorf("wrote %q", got)
	}

	b := newAPI(t, 3)
	b.lead()
	ctx, cancel := context.WithCancel(t.Context())
	b.answer = func(string) (int, string) { cancel(); return 500, "InternalError" }
	if err := b.d.SetReplicas(ctx, 5, why); err == nil || errors.Is(err, ErrNotLeader) {
		t.Errorf("SetReplicas of a caller who has left = %v", err)
	}
	ended, end := context.WithCancelCause(t.Context())
	plain := errors.New("plain")
	if got := a.d.because(ended, plain); !errors.Is(got, plain) {
		t.Errorf("because of nothing = %v", got)
	}
	end(ErrNotLeader)
	if got := a.d.because(ended, plain); !errors.Is(got, ErrNotLeader) || !errors.Is(got, plain) {
		t.Errorf("because of the lease = %v, want both", got)
	}
}

// TestDeploymentConfig checks that the Lease has the Deployment's name, lasts 10 s, and has a unique holder.
func TestDeploymentConfig(t *testing.T) {
	t.Parallel()
	a, b := newAPI(t, 1).d, newAPI(t, 1).d
	if a.cfg.Lease != "app-autoscaler" || a.cfg.LeaseDuration != 10*time.Second || a.lease.duration != 10*time.Second || a.lease.name != "app-autoscaler" {
		t.Errorf("defaults %+v", a.cfg)
	}
	if a.Identity() == b.Identity() || !strings.HasPrefix(a.Identity(), "me_") || a.lease.identity != a.Identity() {
		t.Errorf("identities %q and %q, want me_ and something of each one's own", a.Identity(), b.Identity())
	}
	if got := a.String(); got != "ns/app" {
		t.Errorf("String() = %q", got)
	}
	if leading, holder := a.Leading(); leading || holder != "" {
		t.Errorf("leads %v, held by %q before Run", leading, holder)
	}
	for cfg, ok := range map[Config]bool{
		{Name: "app", LeaseDuration: time.Second}: true, {Name: "app", Lease: "l", LeaseDuration: 3 * time.Second}: true,
		{}: false, {Name: "app", LeaseDuration: 999 * time.Millisecond}: false, {Name: "app", LeaseDuration: 1500 * time.Millisecond}: false, {Name: "app", LeaseDuration: -time.Second}: false,
	} {
		cfg = cfg.withDefaults()
		if err := cfg.validate(); (err == nil) != ok {
			t.Errorf("%+v: %v, want it to be taken: %v", cfg, err, ok)
		}
		if cfg.Identity == "" || cfg.Log == nil || cfg.Lease == "" {
			t.Errorf("defaults %+v", cfg)
		}
	}
}

// TestBrokenObjects checks that invalid objects are named in the error and nothing is written for them.
func TestBrokenObjects(t *testing.T) {
	t.Parallel()
	broken := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "b"}, "status": "none"}
	a := newAPI(t, 3)
	a.pods = append(a.pods, broken)
	if _, err := a.d.Scale(t.Context()); err == nil || !strings.Contains(err.Error(), "read pod b") {
		t.Errorf("Scale with a broken pod: %v", err)
	}
	b := newAPI(t, 3)
	b.lead()
	b.hpas = append(b.hpas, map[string]any{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": map[string]any{"name": "b"}, "spec": "none"})
	if err := b.d.SetReplicas(t.Context(), 5, why); err == nil || !strings.Contains(err.Error(), "read HorizontalPodAutoscaler b") || b.replicas != 3 {
		t.Errorf("SetReplicas with a broken HorizontalPodAutoscaler: %v, %d replicas", err, b.replicas)
	}
	scale := &unstructured.Unstructured{Object: map[string]any{"spec": "none"}}
	if err := b.d.writeScale(t.Context(), scale, 5); err == nil || !strings.Contains(err.Error(), "set size of ns/app") || b.replicas != 3 {
		t.Errorf("writing a broken scale: %v, %d replicas", err, b.replicas)
	}
}
