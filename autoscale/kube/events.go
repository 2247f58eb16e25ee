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

// controller is the reporting controller of Events.
const controller = "resnet18cloud.io/autoscaler"

// writeEvent writes an Event about a change of the Deployment's size, with the reason. target is a Scale, which has the
// name and uid of the Deployment.
func (d *Deployment) writeEvent(ctx context.Context, target *unstructured.Unstructured, was, n int, why autoscale.Decision) error {
	reason := "ScaledUp"
	if n < was {
		reason = "ScaledDown"
	}
	return d.createEvent(ctx, target, "Scale", reason, note(was, n, why))
}

// createEvent writes an Event about the Deployment.
func (d *Deployment) createEvent(ctx context.Context, target *unstructured.Unstructured, action, reason, note string) error {
	event := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "events.k8s.io/v1", "kind": "Event",
		"metadata":  map[string]any{"generateName": d.cfg.Name + "-"},
		"eventTime": microTime(time.Now()), "type": "Normal", "action": action, "reason": reason,
		"reportingController": controller, "reportingInstance": cut(d.identity, 128),
		"regarding": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": target.GetNamespace(),
			"name": target.GetName(), "uid": string(target.GetUID())},
		"note": cut(note, 1024),
	}}
	_, err := d.resource(events).Create(ctx, event, metav1.CreateOptions{})
	return err
}

// Announce writes an Event with the account of a shadow.
func (d *Deployment) Announce(ctx context.Context, account string) error {
	object, err := d.readScale(ctx)
	if err != nil {
		return err
	}
	return d.createEvent(ctx, object, "Compare", "Shadow", account)
}

// note is a line with the change, the policy and the reason of each rule.
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

// cut shortens a text to most bytes, at the end of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}
