package kube

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// Scale reads the wanted number of replicas and the pods.
func (d *Deployment) Scale(ctx context.Context) (autoscale.Scale, error) {
	object, err := d.readScale(ctx)
	if err != nil {
		return autoscale.Scale{}, err
	}
	list, err := d.listPods(ctx, selectorOf(object))
	if err != nil {
		return autoscale.Scale{}, err
	}
	return autoscale.Scale{Desired: desiredOf(object), Replicas: d.replicas(list)}, nil
}

// OrderRemoval records which pods to remove first. It writes nothing: SetReplicas marks those that have to go.
func (d *Deployment) OrderRemoval(_ context.Context, names []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = append(d.order[:0], names...)
	return nil
}

// SetReplicas sets the number of replicas and writes an Event with the reason. If that removes ready pods, those that
// OrderRemoval named first are marked, so that Kubernetes deletes them; it deletes pods that are not ready before any
// other. The shutdown of a pod is up to its preStop hook and grace period.
//
// The write is fenced in two ways. It is not started, and is cancelled, when another process could hold the Lease:
// ErrNotLeader. And it has the resourceVersion of a Deployment read under the Lease, so that a delayed write is refused
// if the Deployment has changed since.
func (d *Deployment) SetReplicas(ctx context.Context, n int, why autoscale.Decision) error {
	ctx, cancel, err := d.lease.fence(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if err := d.CheckOwner(ctx); err != nil {
		return d.because(ctx, err)
	}
	was := n
	var object *unstructured.Unstructured
	// Changes of pods change the status of the Deployment, and with it the resourceVersion.
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if object, err = d.readScale(ctx); err != nil {
			return err
		}
		if was = desiredOf(object); was == n {
			return nil
		}
		if n < was {
			if err := d.markIdle(ctx, selectorOf(object), n); err != nil {
				return err
			}
		}
		return d.writeScale(ctx, object, n)
	})
	if err != nil {
		return d.because(ctx, err)
	}
	if was != n {
		if err := d.writeEvent(ctx, object, was, n, why); err != nil {
			d.cfg.Log.WarnContext(ctx, "cannot write event", "deployment", d.String(), "error", err)
		}
	}
	return nil
}

// because wraps err in ErrNotLeader if the lease expired and caused err.
func (d *Deployment) because(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), ErrNotLeader) {
		return fmt.Errorf("%w: the lease expired during the request: %w", ErrNotLeader, err)
	}
	return err
}

func (d *Deployment) readScale(ctx context.Context) (*unstructured.Unstructured, error) {
	object, err := d.resource(deployments).Get(ctx, d.cfg.Name, metav1.GetOptions{}, "scale")
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read size of %s: %w (kubectl get deployments -n %s lists all)", d, err, d.cfg.Namespace)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("read size of %s: %w (k8s/autoscaler.yaml has the required role)", d, err)
	case err != nil:
		return nil, fmt.Errorf("read size of %s: %w", d, err)
	}
	return object, nil
}

func (d *Deployment) writeScale(ctx context.Context, object *unstructured.Unstructured, n int) error {
	if err := unstructured.SetNestedField(object.Object, int64(n), "spec", "replicas"); err != nil {
		return fmt.Errorf("set size of %s: %w", d, err)
	}
	_, err := d.resource(deployments).Update(ctx, object, metav1.UpdateOptions{}, "scale")
	if err != nil {
		return fmt.Errorf("set size of %s: %w", d, err)
	}
	return nil
}

func desiredOf(scale *unstructured.Unstructured) int {
	n, _, _ := unstructured.NestedInt64(scale.Object, "spec", "replicas") // omitted if 0
	return int(n)
}

func selectorOf(scale *unstructured.Unstructured) string {
	selector, _, _ := unstructured.NestedString(scale.Object, "status", "selector")
	return selector
}
