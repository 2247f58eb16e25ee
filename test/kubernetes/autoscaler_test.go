//go:build kubernetes

package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// testAutoscaler runs the manifest's autoscalers under load, with no more rights than those of their role, and kills
// the leader.
func testAutoscaler(t *testing.T, c *cluster) {
	c.apply(t, "autoscaler.yaml")
	defer c.removeDeployment(t, "autoscaler")
	leader, holder := c.leader(t, "")
	l := startLoad(t, c, 5)

	wanted := c.growUnder(t, l)
	t.Logf("grown to %d replicas", wanted)
	eventually(t, timeout, "the Event", func() error { return c.hasEvent(t.Context(), "ScaledUp", "policy deadline") })
	eventually(t, timeout, "the decision", func() error { return c.hasDecision(t.Context(), leader) })

	// While suspended, it neither acts nor releases the lease; when it resumes, another one holds the lease.
	c.kubelet.signal(t, leader, syscall.SIGSTOP)
	frozen, since := holder, time.Now()
	next, holder := c.leader(t, frozen)
	t.Logf("%s leads after %s was frozen", next, leader)
	c.kubelet.signal(t, leader, syscall.SIGCONT)
	l.perSecond.Store(5)
	c.awaitWanted(t, "fewer replicas", func(n int32) bool { return n < wanted })
	eventually(t, timeout, "the Event", func() error { return c.hasEvent(t.Context(), "ScaledDown", "policy deadline") })
	if _, now := c.leader(t, ""); now != holder {
		t.Errorf("%s leads, want %s: the one that was frozen must not take over", now, holder)
	}

	c.checkSilent(t, frozen, since)

	// When killed, it cannot release the lease either. It is restarted under another identity; either may lead now.
	c.kubelet.signal(t, next, syscall.SIGKILL)
	last, _ := c.leader(t, holder)
	t.Logf("%s leads after %s was killed", last, next)
	l.perSecond.Store(1) // with five per second, a replica starved of CPU would answer too few in time
	c.awaitWanted(t, "one replica", func(n int32) bool { return n == 1 })
	l.end(t)
}

// checkSilent checks that an autoscaler has changed nothing since then: each change leaves an Event.
func (c *cluster) checkSilent(t *testing.T, identity string, since time.Time) {
	t.Helper()
	found, err := list[eventsv1.Event](t.Context(), c, "Event", "")
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	for _, e := range found {
		if e.ReportingInstance != identity {
			continue
		}
		if e.EventTime.After(since) {
			t.Errorf("%s has written after it had lost the lease: %s", identity, e.Note)
		}
		before++
	}
	if before == 0 {
		t.Errorf("no Event of %s at all, want those from before it was frozen", identity)
	}
}

// growUnder sends more images until more than three replicas are wanted. How many that takes depends on the machine;
// far more would only prevent it from starting replicas.
func (c *cluster) growUnder(t *testing.T, l *load) (wanted int32) {
	t.Helper()
	began := time.Now()
	return c.awaitWanted(t, "more replicas", func(n int32) bool {
		l.perSecond.Store(min(150, 20+10*int64(time.Since(began)/time.Second)))
		return n > 3
	})
}

// awaitWanted waits until the Deployment has the wanted size. If replicas start slowly, the number needed before is
// kept for up to five minutes, and by a newly started autoscaler for as long again.
func (c *cluster) awaitWanted(t *testing.T, what string, so func(int32) bool) (wanted int32) {
	t.Helper()
	eventually(t, 10*time.Minute+timeout, what, func() error {
		d, err := get[appsv1.Deployment](t.Context(), c, "Deployment", replicas)
		if err != nil {
			return err
		}
		if wanted = *d.Spec.Replicas; !so(wanted) {
			return fmt.Errorf("%d are wanted", wanted)
		}
		return nil
	})
	return wanted
}

// leader waits until another holder has the lease, and returns its autoscaler pod.
func (c *cluster) leader(t *testing.T, than string) (pod, holder string) {
	t.Helper()
	eventually(t, timeout, "a leader", func() error {
		lease, err := get[coordinationv1.Lease](t.Context(), c, "Lease", replicas+"-autoscaler")
		if err != nil {
			return err
		}
		pods, err := list[corev1.Pod](t.Context(), c, "Pod", "app=autoscaler")
		if err != nil {
			return err
		}
		holder = *cmp.Or(lease.Spec.HolderIdentity, new(string))
		for _, p := range pods {
			if strings.HasPrefix(holder, p.Name+"_") && holder != than {
				pod = p.Name
				return nil
			}
		}
		return fmt.Errorf("held by %q", holder)
	})
	return pod, holder
}

// hasDecision checks that the leader explains the number of replicas.
func (c *cluster) hasDecision(ctx context.Context, leader string) error {
	pod, err := get[corev1.Pod](ctx, c, "Pod", leader)
	if err != nil {
		return err
	}
	response, err := http.Get("http://" + pod.Status.PodIP + ":8000/decisions?changes=true")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var decisions []struct {
		Was, Replicas int
		Applied       bool
		Reasons       []struct{ Rule string }
	}
	if err := json.NewDecoder(response.Body).Decode(&decisions); err != nil {
		return err
	}
	for _, d := range decisions {
		if d.Applied && d.Replicas > d.Was && len(d.Reasons) > 0 {
			return nil
		}
	}
	return fmt.Errorf("no decision that added replicas, with reasons, among %+v", decisions)
}

// removeDeployment deletes a Deployment whose pods are labelled with its name, and waits until the pods are gone.
func (c *cluster) removeDeployment(t *testing.T, name string) {
	t.Helper()
	if err := c.of("Deployment").Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	eventually(t, timeout, "the pods of "+name+" to be gone", func() error {
		pods, err := list[corev1.Pod](t.Context(), c, "Pod", "app="+name)
		if err == nil && len(pods) > 0 {
			err = errors.New("they are not")
		}
		return err
	})
}
