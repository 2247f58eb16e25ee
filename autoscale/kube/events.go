package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// controller is the name under which Events are reported.
const controller = "resnet18cloud.io/autoscaler"

// writeEvent tells in an Event about the Deployment that its size was changed, and why. A Scale carries name
// and uid of what it scales.
func (d *Deployment) writeEvent(ctx context.Context, target *unstructured.Unstructured, was, n int, why autoscale.Decision) error {
	reason := "ScaledUp"
	if n < was {
		reason = "ScaledDown"
	}
	event := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "events.k8s.io/v1", "kind": "Event",
		"metadata":  map[string]any{"generateName": d.cfg.Name + "-"},
		"eventTime": microTime(time.Now()), "type": "Normal", "action": "Scale", "reason": reason,
		"reportingController": controller, "reportingInstance": cut(d.identity, 128),
		"regarding": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": target.GetNamespace(),
			"name": target.GetName(), "uid": string(target.GetUID())},
		"note": cut(note(was, n, why), 1024),
	}}
	_, err := d.resource(events).Create(ctx, event, metav1.CreateOptions{})
	return err
}

// note says in a line from what to what, by which policy, and every rule that spoke.
func note(was, n int, why autoscale.Decision) string {
	reasons := make([]string, len(why.Reasons))
	for i, r := range why.Reasons {
		reasons[i] = r.String()
	}
	if len(reasons) == 0 {
		return fmt.Sprintf("%d -> %d replicas (policy %s)", was, n, why.Policy)
	}
	return fmt.Sprintf("%d -> %d replicas (policy %s): %s", was, n, why.Policy, strings.Join(reasons, "; "))
}

// cut bounds a text to what the API takes, in bytes, at a character's end.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}
