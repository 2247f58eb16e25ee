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

// Scale reads the Deployment's wanted size and its pods.
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

// OrderRemoval notes which pods to remove first. It writes nothing: SetReplicas marks those that its number
// leaves no room for.
func (d *Deployment) OrderRemoval(_ context.Context, names []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = append(d.order[:0], names...)
	return nil
}

// SetReplicas asks for n replicas and writes an Event that says why. Where that removes pods that serve, those
// that OrderRemoval named first are marked, so that Kubernetes deletes them; it deletes pods that do not
// serve before any other. How a pod leaves is the matter of its preStop hook and grace period.
//
// The write is fenced in two ways. It is not begun, and is cut off, when the Lease could be another's:
// ErrNotLeader. And it carries the resourceVersion of a Deployment read under the Lease, so that one that was
// held up on its way is refused when anybody has changed the Deployment since.
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
	// Pods that come and go change the Deployment's status, and with it the resourceVersion.
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
			d.cfg.Log.WarnContext(ctx, "event not written", "deployment", d.String(), "error", err)
		}
	}
	return nil
}

// because says that the lease has run out where that, and no more than that, has gone wrong.
func (d *Deployment) because(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), ErrNotLeader) {
		return fmt.Errorf("%w: the lease ran out while the cluster was asked: %w", ErrNotLeader, err)
	}
	return err
}

func (d *Deployment) readScale(ctx context.Context) (*unstructured.Unstructured, error) {
	object, err := d.resource(deployments).Get(ctx, d.cfg.Name, metav1.GetOptions{}, "scale")
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read size of %s: %w (kubectl get deployments -n %s lists those that are there)", d, err, d.cfg.Namespace)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("read size of %s: %w (k8s/autoscaler.yaml has the role that is needed)", d, err)
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
	n, _, _ := unstructured.NestedInt64(scale.Object, "spec", "replicas") // left out when 0
	return int(n)
}

func selectorOf(scale *unstructured.Unstructured) string {
	selector, _, _ := unstructured.NestedString(scale.Object, "status", "selector")
	return selector
}
