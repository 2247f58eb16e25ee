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

// ErrOwned is in the error of Run, CheckOwner and SetReplicas when something else already scales the Deployment.
var ErrOwned = errors.New("two autoscalers would undo each other's work")

// hpa is what matters here of a HorizontalPodAutoscaler.
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

// scales reports whether the target is this Deployment. Kubernetes takes the group of the apiVersion and
// looks past its version.
func (h hpa) scales(deployment string) bool {
	ref := h.Spec.ScaleTargetRef
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	return ref.Kind == "Deployment" && ref.Name == deployment && group == "apps"
}

// remedy says what it is and how to be rid of it.
func (h hpa) remedy() string {
	for _, owner := range h.Metadata.OwnerReferences {
		if owner.Kind == "ScaledObject" {
			return fmt.Sprintf("KEDA's ScaledObject %q; delete it (kubectl delete scaledobject %s), or let KEDA act and ask this "+
				"policy: autoscaler --keda-addr", owner.Name, owner.Name)
		}
	}
	return fmt.Sprintf("HorizontalPodAutoscaler %q; delete it (kubectl delete hpa %s), or do not run this autoscaler, or run it with --dry-run",
		h.Metadata.Name, h.Metadata.Name)
}

// CheckOwner fails with ErrOwned when a HorizontalPodAutoscaler, KEDA's included, scales the Deployment.
func (d *Deployment) CheckOwner(ctx context.Context) error {
	list, err := d.resource(hpas).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("look for a HorizontalPodAutoscaler of %s: %w (k8s/autoscaler.yaml has the role that is needed)", d, err)
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

// awaitNoOwner returns when it is known that nothing else scales the Deployment, or that something does. A
// server that does not answer yet is waited for: who ended with an error would be restarted at ever longer
// intervals.
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
			d.cfg.Log.WarnContext(ctx, "cluster does not answer; waiting", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watchOwner fails when an owner has come; a server that does not answer is no reason.
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

// changes tells news from repetition. The zero value has seen that all is well.
type changes struct{ last string }

// is reports whether the error is another than last time.
func (c *changes) is(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	changed := text != c.last
	c.last = text
	return changed
}
