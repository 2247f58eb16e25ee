package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// deletionCost is the annotation by which Kubernetes chooses among ready pods: the lowest is deleted first. Pods
// without it count as 0.
const deletionCost = "controller.kubernetes.io/pod-deletion-cost"

// idleCost marks pods to remove. Other values were set by others and are kept.
const idleCost = "-1"

// pod is the part of a Pod that is read.
type pod struct {
	Metadata struct {
		Name              string            `json:"name"`
		CreationTimestamp metav1.Time       `json:"creationTimestamp"`
		DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
		Annotations       map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Containers []struct {
			Ports []struct {
				Name          string `json:"name"`
				ContainerPort int    `json:"containerPort"`
			} `json:"ports"`
		} `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase      string `json:"phase"`
		PodIP      string `json:"podIP"`
		Conditions []struct {
			Type               string      `json:"type"`
			Status             string      `json:"status"`
			LastTransitionTime metav1.Time `json:"lastTransitionTime"`
		} `json:"conditions"`
	} `json:"status"`
}

// ended reports whether the pod has no process any more; such pods may be listed for a long time.
func (p *pod) ended() bool { return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" }

func (p *pod) stopping() bool { return p.Metadata.DeletionTimestamp != nil }

// turned is when the pod last became ready or unready; zero if it says neither.
func (p *pod) turned() time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// readySince is when the pod became ready; zero if it is not.
func (p *pod) readySince() time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// url is the address of the pod's port named http or, without one, of its first port.
func (p *pod) url() string {
	port := 0
	for _, c := range p.Spec.Containers {
		for _, candidate := range c.Ports {
			if port == 0 || candidate.Name == "http" {
				port = candidate.ContainerPort
			}
		}
	}
	if port == 0 || p.Status.PodIP == "" {
		return ""
	}
	return "http://" + net.JoinHostPort(p.Status.PodIP, strconv.Itoa(port))
}

// listPods lists the pods of the selector that have not ended.
func (d *Deployment) listPods(ctx context.Context, selector string) ([]pod, error) {
	if selector == "" {
		return nil, fmt.Errorf("list pods of %s: it has no selector", d)
	}
	list, err := d.resource(pods).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list pods of %s: %w", d, err)
	}
	found := make([]pod, 0, len(list.Items))
	for _, item := range list.Items {
		var p pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &p); err != nil {
			return nil, fmt.Errorf("read pod %s: %w", item.GetName(), err)
		}
		if !p.ended() {
			found = append(found, p)
		}
	}
	return found, nil
}

// replicas describes pods for the autoscaler.
func (d *Deployment) replicas(list []pod) []autoscale.Replica {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.readyAt
	d.readyAt = make(map[string]time.Time, len(list))
	replicas := make([]autoscale.Replica, 0, len(list))
	for i := range list {
		p := &list[i]
		name, since := p.Metadata.Name, p.readySince()
		// Kubernetes keeps only the last time at which a pod became ready.
		first, known := before[name]
		if !known {
			first = since
		}
		if !first.IsZero() {
			d.readyAt[name] = first
		}
		replicas = append(replicas, autoscale.Replica{Name: name, URL: p.url(), Created: p.Metadata.CreationTimestamp.Time,
			ReadyAt: first, Turned: p.turned(), Ready: !since.IsZero(), Stopping: p.stopping()})
	}
	return replicas
}

// markIdle marks the pods to remove if n are to stay, and unmarks the others.
func (d *Deployment) markIdle(ctx context.Context, selector string, n int) error {
	list, err := d.listPods(ctx, selector)
	if err != nil {
		return err
	}
	d.mu.Lock()
	order := slices.Clone(d.order)
	d.mu.Unlock()
	marked := victims(list, order, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range list {
		p := &list[i]
		mark, has := marked[p.Metadata.Name], p.Metadata.Annotations[deletionCost] == idleCost
		if mark != has && !p.stopping() {
			g.Go(func() error { return d.mark(ctx, p.Metadata.Name, mark) })
		}
	}
	return g.Wait()
}

// victims are the names of the ready pods to remove if n are to stay: the first in the order. Kubernetes removes
// pods that are not ready before these; they need no mark.
func victims(list []pod, order []string, n int) map[string]bool {
	serving := make(map[string]bool)
	for i := range list {
		if p := &list[i]; !p.stopping() && !p.readySince().IsZero() {
			serving[p.Metadata.Name] = true
		}
	}
	excess := len(serving) - n
	marked := make(map[string]bool)
	for _, name := range order {
		if len(marked) >= excess {
			break
		}
		if serving[name] {
			marked[name] = true
		}
	}
	return marked
}

// mark sets or removes the mark of a pod, unless the pod is gone.
func (d *Deployment) mark(ctx context.Context, name string, mark bool) error {
	var cost any // null removes it
	if mark {
		cost = idleCost
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{deletionCost: cost}}})
	if err != nil {
		return fmt.Errorf("mark pod %s: %w", name, err)
	}
	_, err = d.resource(pods).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("mark pod %s: %w", name, err)
	}
	return nil
}
