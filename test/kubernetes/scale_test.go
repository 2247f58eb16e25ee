//go:build kubernetes

package kubernetes

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/kube"
)

var shrinks = flag.Int("shrinks", 200, "scale-downs under load")

func testManifestsServe(t *testing.T, c *cluster) {
	l := startLoad(t, c, 10)
	time.Sleep(2 * time.Second)
	l.end(t)
}

// make creates our actuator.
func (c *cluster) make(t *testing.T, identity string) *kube.Deployment {
	t.Helper()
	d, err := kube.Open(kube.Config{Name: replicas, Kubeconfig: c.writeKubeconfig(t, "admin", adminToken), Identity: identity,
		LeaseDuration: 5 * time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// open creates our actuator, and runs it until the end of the test.
func (c *cluster) open(t *testing.T, identity string) *kube.Deployment {
	t.Helper()
	d := c.make(t, identity)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, func(bool) {}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run of %s: %v", identity, err)
		}
	})
	return d
}

func awaitLead(t *testing.T, d *kube.Deployment) {
	t.Helper()
	eventually(t, timeout, d.Identity()+" to lead", func() error {
		if leading, holder := d.Leading(); !leading {
			return fmt.Errorf("%q leads", holder)
		}
		return nil
	})
}

func decision(n int) autoscale.Decision {
	return autoscale.Decision{Policy: "test", Replicas: n, Reasons: []autoscale.Reason{{Rule: autoscale.RuleFixed, Replicas: n}}}
}

// testOneWriter checks that only the holder of the Lease writes, and that another can take over.
func testOneWriter(t *testing.T, c *cluster) {
	first := c.open(t, "first")
	awaitLead(t, first)
	second := c.open(t, "second")
	if err := second.SetReplicas(t.Context(), 7, decision(7)); !errors.Is(err, kube.ErrNotLeader) {
		t.Errorf("SetReplicas of the one that does not lead: %v, want %v", err, kube.ErrNotLeader)
	}
	setReplicas(t, first, 4)
	c.awaitReplicas(t, 4)
	scale, err := first.Scale(t.Context())
	if err != nil || scale.Desired != 4 || len(scale.Replicas) != 4 {
		t.Fatalf("Scale = %+v, %v; want 4 desired and there", scale, err)
	}
	for _, r := range scale.Replicas {
		if !r.Ready || r.ReadyAt.Before(r.Created) || !strings.HasPrefix(r.URL, "http://10.1.") || !strings.HasSuffix(r.URL, ":5000") {
			t.Errorf("replica %+v, want it ready, and its address", r)
		}
	}
	eventually(t, timeout, "the Event", func() error {
		return c.hasEvent(t.Context(), "ScaledUp", "3 -> 4 replicas (policy test): fixed: 4 replicas")
	})
}

func (c *cluster) hasEvent(ctx context.Context, reason, text string) error {
	found, err := list[eventsv1.Event](ctx, c, "Event", "")
	if err != nil {
		return err
	}
	var notes []string
	for _, e := range found {
		if e.Reason == reason && e.Regarding.Kind == "Deployment" && e.Regarding.Name == replicas && strings.Contains(e.Note, text) {
			return nil
		}
		notes = append(notes, e.Reason+": "+e.Note)
	}
	return fmt.Errorf("no Event %s with %q among %q", reason, text, notes)
}

// testIdleGoFirst checks that Kubernetes deletes the named pods, even if it would choose others.
func testIdleGoFirst(t *testing.T, c *cluster) {
	d := c.open(t, "idle")
	awaitLead(t, d)
	setReplicas(t, d, 4)
	c.awaitReplicas(t, 4)
	scale, err := d.Scale(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The oldest: by default Kubernetes would delete the newest.
	oldest := scale.Replicas[0]
	for _, r := range scale.Replicas {
		if r.Created.Before(oldest.Created) {
			oldest = r
		}
	}
	if err := d.OrderRemoval(t.Context(), []string{oldest.Name}); err != nil {
		t.Fatal(err)
	}
	setReplicas(t, d, 3)
	eventually(t, timeout, oldest.Name+" to be stopping", func() error {
		scale, err := d.Scale(t.Context())
		for _, r := range scale.Replicas {
			if r.Name == oldest.Name && !r.Stopping {
				err = fmt.Errorf("it is not: %+v", scale)
			}
		}
		return err
	})
	c.awaitReplicas(t, 3)
}

// setReplicas sets the size as soon as d may: on a machine that is too busy to renew the lease in time, it retries
// like an autoscaler with its next decision.
func setReplicas(t *testing.T, d *kube.Deployment, n int) {
	t.Helper()
	eventually(t, timeout, fmt.Sprintf("%d replicas to be set", n), func() error {
		err := d.SetReplicas(t.Context(), n, decision(n))
		if err != nil && !errors.Is(err, kube.ErrNotLeader) {
			t.Fatal(err)
		}
		return err
	})
}

// testHPAIsRefused checks that an autoscaler does not start beside an HPA, and that it stops writing and exits when
// one is created.
func testHPAIsRefused(t *testing.T, c *cluster) {
	d := c.make(t, "before")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, func(bool) {}) }()
	defer stop()
	awaitLead(t, d)
	c.apply(t, "hpa.yaml")
	defer func() {
		if err := c.of("HorizontalPodAutoscaler").Delete(t.Context(), "resnet18-hpa", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	if err := d.SetReplicas(t.Context(), 9, decision(9)); !errors.Is(err, kube.ErrOwned) {
		t.Errorf("SetReplicas beside an HPA: %v, want %v", err, kube.ErrOwned)
	}
	if err := <-ended; !errors.Is(err, kube.ErrOwned) {
		t.Errorf("Run when an HPA came: %v, want %v", err, kube.ErrOwned)
	}
	late := c.make(t, "late")
	err := late.Run(t.Context(), func(bool) { t.Error("an autoscaler was told to lead beside an HPA") })
	if !errors.Is(err, kube.ErrOwned) || !strings.Contains(err.Error(), "kubectl delete hpa resnet18-hpa") {
		t.Errorf("Run beside an HPA: %v, want %v with the remedy", err, kube.ErrOwned)
	}
}

// testErrorsSayWhatToDo checks the errors for missing rights and missing objects.
func testErrorsSayWhatToDo(t *testing.T, c *cluster) {
	open := func(name, kubeconfig string) *kube.Deployment {
		d, err := kube.Open(kube.Config{Name: name, Kubeconfig: kubeconfig})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	token, err := c.token(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	powerless := open(replicas, c.writeKubeconfig(t, "powerless", token))
	if err := powerless.Run(t.Context(), func(bool) {}); err == nil || !strings.Contains(err.Error(), "k8s/autoscaler.yaml") {
		t.Errorf("Run without rights: %v, want an error that names the file with the role", err)
	}
	if _, err := powerless.Scale(t.Context()); err == nil || !strings.Contains(err.Error(), "k8s/autoscaler.yaml") {
		t.Errorf("Scale without rights: %v, want an error that names the file with the role", err)
	}
	lost := open("nowhere", c.writeKubeconfig(t, "admin", adminToken))
	if _, err := lost.Scale(t.Context()); err == nil || !strings.Contains(err.Error(), "kubectl get deployments -n default") {
		t.Errorf("Scale of no Deployment: %v, want an error that says how to find one", err)
	}
}

// testServerHangs checks that the leader stops writing while it cannot know whether it still leads, and continues
// when the API server does; and that another autoscaler started meanwhile waits for it.
func testServerHangs(t *testing.T, c *cluster) {
	d := c.open(t, "hanging")
	awaitLead(t, d)
	if err := c.apiServer.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	late := c.open(t, "late")
	eventually(t, timeout, "the leader to step down", func() error {
		if leading, _ := d.Leading(); leading {
			return errors.New("it leads")
		}
		return nil
	})
	if err := d.SetReplicas(t.Context(), 9, decision(9)); !errors.Is(err, kube.ErrNotLeader) {
		t.Errorf("SetReplicas of one that cannot renew: %v, want %v", err, kube.ErrNotLeader)
	}
	if err := c.apiServer.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, timeout, "one to lead", func() error {
		first, _ := d.Leading()
		second, _ := late.Leading()
		if first == second {
			return fmt.Errorf("leading: %t, %t", first, second)
		}
		return nil
	})
}

// testRollout checks that a rolling update of the replicas under load loses nothing.
func testRollout(t *testing.T, c *cluster) {
	l := startLoad(t, c, 25)
	err := c.patch(t.Context(), "Deployment", replicas, map[string]any{"spec": map[string]any{"template": map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, timeout, "the rollout", func() error {
		d, err := get[appsv1.Deployment](t.Context(), c, "Deployment", replicas)
		if err == nil && (d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < *d.Spec.Replicas ||
			d.Status.Replicas > d.Status.UpdatedReplicas || d.Status.AvailableReplicas < *d.Spec.Replicas) {
			err = fmt.Errorf("status %+v", d.Status)
		}
		return err
	})
	l.end(t)
}

// testNothingIsLost grows and shrinks the Deployment under load, removing busy replicas too, and kills a replica each
// time it has grown.
func testNothingIsLost(t *testing.T, c *cluster) {
	d := c.open(t, "shrinking")
	awaitLead(t, d)
	const least, most = 2, 10
	l := startLoad(t, c, 25)
	done := 0
	for done < *shrinks {
		setReplicas(t, d, most)
		eventually(t, timeout, "replicas to serve", func() error {
			deployment, err := get[appsv1.Deployment](t.Context(), c, "Deployment", replicas)
			if err == nil && deployment.Status.ReadyReplicas < most {
				err = fmt.Errorf("%d serve", deployment.Status.ReadyReplicas)
			}
			return err
		})
		c.killReplica(t)
		for n := most - 1; n >= least && done < *shrinks; n-- {
			setReplicas(t, d, n)
			done++
			time.Sleep(300 * time.Millisecond)
		}
	}
	t.Logf("%d scale-downs", done)
	l.end(t)
	setReplicas(t, d, 3)
	c.awaitReplicas(t, 3)
}

// killReplica kills the process of a serving replica; the pod starts another.
func (c *cluster) killReplica(t *testing.T) {
	t.Helper()
	pods, err := list[corev1.Pod](t.Context(), c, "Pod", "app="+replicas)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.DeletionTimestamp == nil && p.Status.PodIP != "" {
			c.kubelet.signal(t, p.Name, syscall.SIGKILL)
			return
		}
	}
	t.Fatal("no replica to kill")
}
