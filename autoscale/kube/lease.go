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
var ErrNotLeader = errors.New("another autoscaler is the leader")

// lease elects one process among several by a Lease object, as Kubernetes' own controllers do: the holder
// writes its name and renews it. Another process takes the lease when it has seen the same record for the record's
// duration by its own clock. Clocks need not agree, but must run at about the same speed.
//
// client-go's leaderelection package does the same, but links every type of the API, 20 MB of them.
type lease struct {
	client   dynamic.ResourceInterface
	name     string
	identity string
	duration time.Duration
	log      *slog.Logger
	tell     func(leading bool) // called by run when leadership changes

	mu     sync.Mutex
	until  term   // guarded by mu: this process may write until then; zero if it is not the leader
	holder string // guarded by mu: of the record last read

	// Used by run alone: the last record of another holder, when it was first seen, and the last argument of tell.
	seen   leaseSpec
	seenAt time.Time
	told   bool
}

// leaseSpec is the part of a Lease that elections use.
type leaseSpec struct {
	HolderIdentity       string `json:"holderIdentity,omitempty"`
	LeaseDurationSeconds int64  `json:"leaseDurationSeconds,omitempty"`
	AcquireTime          string `json:"acquireTime,omitempty"`
	RenewTime            string `json:"renewTime,omitempty"`
	LeaseTransitions     int64  `json:"leaseTransitions,omitempty"`
}

// microTime formats a time as the API's MicroTime.
func microTime(t time.Time) string { return t.UTC().Format(metav1.RFC3339Micro) }

// run acquires the lease when it is free and renews it while this process holds it, until ctx ends.
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
			l.log.WarnContext(ctx, "cannot read or renew lease", "lease", l.name, "error", err)
		}
		select {
		case <-ctx.Done():
			return l.release(context.WithoutCancel(ctx))
		case <-tick.C:
		}
	}
}

// tellChange calls tell if leadership has changed.
func (l *lease) tellChange() {
	if leading, _ := l.state(time.Now()); leading != l.told {
		l.told = leading
		l.tell(leading)
	}
}

// attempt reads the record and acquires or renews the lease if it may.
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

// free reports whether the lease may be taken over: it has no holder, or was not renewed for its duration.
func (l *lease) free(now time.Time, record leaseSpec) bool {
	if record != l.seen || l.seenAt.IsZero() {
		l.seen, l.seenAt = record, now
	}
	return record.HolderIdentity == "" || now.Sub(l.seenAt) >= time.Duration(record.LeaseDurationSeconds)*time.Second
}

// write acquires or renews the lease from start on. Of two concurrent writes the API server refuses one: the object
// has the resourceVersion that was read.
func (l *lease) write(ctx context.Context, start time.Time, object *unstructured.Unstructured, spec leaseSpec) error {
	spec.HolderIdentity = l.identity
	spec.LeaseDurationSeconds = int64(l.duration / time.Second)
	spec.RenewTime = microTime(start)
	err := l.put(ctx, object, spec)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil // another process was faster; the next attempt reads which
	}
	if err != nil {
		return fmt.Errorf("write lease %s: %w", l.name, err)
	}
	// Others wait the whole duration after they have seen this. A quarter of it is left for writes that are under way
	// at the end, and for clocks that run at different speeds.
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

// release releases the lease if this process holds it.
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

// term is an end by both of Go's clocks. While a machine is suspended the monotonic clock may stop, and the wall clock
// may be set back: a process that holds the lease by only one of them must not write.
type term struct{ monotonic, wall time.Time }

func endOf(t time.Time) term { return term{t, t.Round(0)} }

// lasts reports whether the end has come by neither clock.
func (t term) lasts(now time.Time) bool {
	return now.Before(t.monotonic) && now.Round(0).Before(t.wall)
}

// set records the state of the lease, and logs a new leader.
func (l *lease) set(ctx context.Context, until time.Time, holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if holder != l.holder && holder != "" {
		l.log.InfoContext(ctx, "leader elected", "lease", l.name, "holder", holder, "leading", holder == l.identity)
	}
	l.until, l.holder = endOf(until), holder
}

// state returns whether this process is the leader at now, and the holder as far as it is known.
func (l *lease) state(now time.Time) (leading bool, holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until.lasts(now), l.holder
}

// fence returns a context for writing: it ends before another process can hold the lease.
func (l *lease) fence(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if leading, holder := l.state(time.Now()); !leading {
		if holder == "" {
			holder = "an unknown process"
		}
		return nil, nil, fmt.Errorf("%w: %s holds the lease %s", ErrNotLeader, holder, l.name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithDeadlineCause(ctx, l.until.monotonic, ErrNotLeader)
	return ctx, cancel, nil
}
