package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ErrOwned is wrapped by errors of Run, CheckOwner and SetReplicas if something else scales the Deployment.
var ErrOwned = errors.New("two autoscalers would conflict")

// hpa is the part of a HorizontalPodAutoscaler that is read.
type hpa struct {
	Metadata struct {
		Name            string `json:"name"`
		OwnerReferences []struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		ScaleTargetRef struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
		} `json:"scaleTargetRef"`
	} `json:"spec"`
}

// scales reports whether the target is this Deployment. Kubernetes compares the group of the
// apiVersion and ignores its version.
func (h hpa) scales(deployment string) bool {
	ref := h.Spec.ScaleTargetRef
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	return ref.Kind == "Deployment" && ref.Name == deployment && group == "apps"
}

// remedy names the HorizontalPodAutoscaler and how to resolve the conflict.
func (h hpa) remedy() string {
	for _, owner := range h.Metadata.OwnerReferences {
		if owner.Kind == "ScaledObject" {
			return fmt.Sprintf("KEDA's ScaledObject %q; delete it (kubectl delete scaledobject %s), or let KEDA scale by this "+
				"policy with autoscaler --keda-addr", owner.Name, owner.Name)
		}
	}
	return fmt.Sprintf("HorizontalPodAutoscaler %q; delete it (kubectl delete hpa %s), or run this autoscaler with --dry-run",
		h.Metadata.Name, h.Metadata.Name)
}

// CheckOwner fails with ErrOwned if a HorizontalPodAutoscaler, which may be KEDA's, scales the Deployment.
func (d *Deployment) CheckOwner(ctx context.Context) error {
	list, err := d.resource(hpas).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("look for a HorizontalPodAutoscaler of %s: %w (k8s/autoscaler.yaml has the required role)", d, err)
	}
	if err != nil {
		return fmt.Errorf("look for a HorizontalPodAutoscaler of %s: %w", d, err)
	}
	for _, item := range list.Items {
		var h hpa
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &h); err != nil {
			return fmt.Errorf("read HorizontalPodAutoscaler %s: %w", item.GetName(), err)
		}
		if h.scales(d.cfg.Name) {
			return fmt.Errorf("deployment %s is scaled by %s: %w", d, h.remedy(), ErrOwned)
		}
	}
	return nil
}

// awaitNoOwner returns when it is known whether something else scales the Deployment. It waits for a server that does
// not respond yet: after an error, Kubernetes would restart this process with increasing delays.
func (d *Deployment) awaitNoOwner(ctx context.Context) error {
	tick := time.NewTicker(d.cfg.LeaseDuration / 5)
	defer tick.Stop()
	var trouble changes
	for {
		err := d.CheckOwner(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil || errors.Is(err, ErrOwned) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
			return err
		}
		if trouble.is(err) {
			d.cfg.Log.WarnContext(ctx, "Kubernetes API does not respond; waiting", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watchOwner fails when an owner appears, but not while the server does not respond.
func (d *Deployment) watchOwner(ctx context.Context) error {
	tick := time.NewTicker(d.cfg.LeaseDuration)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := d.CheckOwner(ctx); errors.Is(err, ErrOwned) {
				return err
			}
		}
	}
}

// changes detects changes of an error. The zero value has seen no error.
type changes struct{ last string }

// is reports whether the error differs from the last one.
func (c *changes) is(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	changed := text != c.last
	c.last = text
	return changed
}
