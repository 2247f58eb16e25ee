package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
)

// ErrNotLeader is returned by writes of a process that does not hold the Lease.
var ErrNotLeader = errors.New("another autoscaler leads")

// lease elects one process among several by a Lease object, as Kubernetes' own controllers do: the holder
// writes its name and renews; whoever has seen the same record for the record's duration, by its own clock,
// takes it. Clocks need not agree, only run at about the same speed.
//
// client-go's leaderelection package does the same but brings every type of the API along, 20 MB of them.
type lease struct {
	client   dynamic.ResourceInterface
	name     string
	identity string
	duration time.Duration
	log      *slog.Logger
	tell     func(leading bool) // called by run at each change

	mu     sync.Mutex
	until  term   // guarded by mu: this process may write until then; zero when it does not lead
	holder string // guarded by mu: of the record last read

	// Of run alone: the record last seen of another holder, and when it was first seen; what was told last.
	seen   leaseSpec
	seenAt time.Time
	told   bool
}

// leaseSpec is the part of a Lease that elections are made of.
type leaseSpec struct {
	HolderIdentity       string `json:"holderIdentity,omitempty"`
	LeaseDurationSeconds int64  `json:"leaseDurationSeconds,omitempty"`
	AcquireTime          string `json:"acquireTime,omitempty"`
	RenewTime            string `json:"renewTime,omitempty"`
	LeaseTransitions     int64  `json:"leaseTransitions,omitempty"`
}

// microTime is the API's form of a time with microseconds.
func microTime(t time.Time) string { return t.UTC().Format(metav1.RFC3339Micro) }

// run takes the lease when it is free and renews it while it is ours, until ctx ends.
func (l *lease) run(ctx context.Context) error {
	period := l.duration / 5
	tick := time.NewTicker(period)
	defer tick.Stop()
	var trouble changes
	for {
		attempt, cancel := context.WithTimeout(ctx, period)
		err := l.attempt(attempt)
		cancel()
		l.tellChange()
		if ctx.Err() != nil {
			return l.release(context.WithoutCancel(ctx))
		}
		if trouble.is(err) && err != nil {
			l.log.WarnContext(ctx, "lease neither read nor renewed", "lease", l.name, "error", err)
		}
		select {
		case <-ctx.Done():
			return l.release(context.WithoutCancel(ctx))
		case <-tick.C:
		}
	}
}

// tellChange tells whoever waits for it whether this process leads now.
func (l *lease) tellChange() {
	if leading, _ := l.state(time.Now()); leading != l.told {
		l.told = leading
		l.tell(leading)
	}
}

// attempt reads the record and takes or renews it where that is right.
func (l *lease) attempt(ctx context.Context) error {
	start := time.Now()
	object, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return l.write(ctx, start, nil, leaseSpec{AcquireTime: microTime(start)})
	}
	if err != nil {
		return fmt.Errorf("read lease %s: %w", l.name, err)
	}
	var old leaseSpec
	spec, _, _ := unstructured.NestedMap(object.Object, "spec")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &old); err != nil {
		return fmt.Errorf("read lease %s: %w", l.name, err)
	}
	switch {
	case old.HolderIdentity == l.identity:
		return l.write(ctx, start, object, old)
	case l.free(start, old):
		old.AcquireTime = microTime(start)
		old.LeaseTransitions++
		return l.write(ctx, start, object, old)
	}
	l.set(ctx, time.Time{}, old.HolderIdentity)
	return nil
}

// free reports whether the record of another may be taken: nobody's, or not renewed for as long as it lasts.
func (l *lease) free(now time.Time, record leaseSpec) bool {
	if record != l.seen || l.seenAt.IsZero() {
		l.seen, l.seenAt = record, now
	}
	return record.HolderIdentity == "" || now.Sub(l.seenAt) >= time.Duration(record.LeaseDurationSeconds)*time.Second
}

// write makes the lease ours from start on. Of two that write at once the API server refuses one: the object
// carries the resourceVersion that was read.
func (l *lease) write(ctx context.Context, start time.Time, object *unstructured.Unstructured, spec leaseSpec) error {
	spec.HolderIdentity = l.identity
	spec.LeaseDurationSeconds = int64(l.duration / time.Second)
	spec.RenewTime = microTime(start)
	err := l.put(ctx, object, spec)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil // another was quicker; the next attempt reads who
	}
	if err != nil {
		return fmt.Errorf("write lease %s: %w", l.name, err)
	}
	// Others wait the whole duration from when they saw this. A quarter is left for a write that is on its
	// way when the time is up, and for clocks that run at different speeds.
	l.set(ctx, start.Add(l.duration*3/4), l.identity)
	return nil
}

func (l *lease) put(ctx context.Context, object *unstructured.Unstructured, spec leaseSpec) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return err
	}
	if object == nil {
		object = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": map[string]any{"name": l.name}, "spec": fields}}
		_, err = l.client.Create(ctx, object, metav1.CreateOptions{})
		return err
	}
	object.Object["spec"] = fields
	_, err = l.client.Update(ctx, object, metav1.UpdateOptions{})
	return err
}

// release gives the lease back if it is ours.
func (l *lease) release(ctx context.Context) error {
	leading, _ := l.state(time.Now())
	l.set(ctx, time.Time{}, "")
	l.tellChange()
	if !leading {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	object, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("release lease %s: %w", l.name, err)
	}
	if holder, _, _ := unstructured.NestedString(object.Object, "spec", "holderIdentity"); holder != l.identity {
		return nil
	}
	transitions, _, _ := unstructured.NestedInt64(object.Object, "spec", "leaseTransitions")
	err = l.put(ctx, object, leaseSpec{LeaseDurationSeconds: 1, LeaseTransitions: transitions})
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("release lease %s: %w", l.name, err)
	}
	return nil
}

// term is an end by both of Go's clocks. While a machine is suspended the monotonic one may stand still, and the wall
// clock may be set back; whoever holds the lease by one of them only must not write.
type term struct{ monotonic, wall time.Time }

func endOf(t time.Time) term { return term{t, t.Round(0)} }

// lasts reports whether the end has not come by either clock.
func (t term) lasts(now time.Time) bool {
	return now.Before(t.monotonic) && now.Round(0).Before(t.wall)
}

// set notes what is known, and logs it when the leader is another than before.
func (l *lease) set(ctx context.Context, until time.Time, holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if holder != l.holder && holder != "" {
		l.log.InfoContext(ctx, "leader elected", "lease", l.name, "holder", holder, "leading", holder == l.identity)
	}
	l.until, l.holder = endOf(until), holder
}

// state says whether this process leads at now, and who holds the lease as far as is known.
func (l *lease) state(now time.Time) (leading bool, holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until.lasts(now), l.holder
}

// fence returns a context in which to write: it ends before the lease can be another's.
func (l *lease) fence(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if leading, holder := l.state(time.Now()); !leading {
		if holder == "" {
			holder = "nobody known"
		}
		return nil, nil, fmt.Errorf("%w: %s holds the lease %s", ErrNotLeader, holder, l.name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithDeadlineCause(ctx, l.until.monotonic, ErrNotLeader)
	return ctx, cancel, nil
}
