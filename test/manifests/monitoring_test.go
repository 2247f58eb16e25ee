package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// monitored are values with all objects of the Prometheus operator.
var monitored = map[string]any{"monitoring": map[string]any{"podMonitors": true, "rules": true, "labels": map[string]any{"release": "prometheus"}}}

// TestPodMonitors checks that each of our pods is scraped once, on a port that it has, with a key where it needs one.
func TestPodMonitors(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join(root, "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	withKeys := map[string]any{"keys": map[string]any{"enabled": true}}
	for name, test := range map[string]struct {
		values []map[string]any
		keyed  map[string]bool // what needs a key
	}{
		"default":    {nil, nil},
		"keys":       {[]map[string]any{withKeys}, map[string]bool{"dispatcher": true, "resnet18-app": true, "autoscaler": true}},
		"production": {[]map[string]any{production(t)}, map[string]bool{"autoscaler": true}},
		"keda":       {[]map[string]any{production(t), scaledBy("keda")}, map[string]bool{"scaling-policy": true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := installed(t, "default", append(test.values, monitored)...)
			for _, w := range workloads(all) {
				if w.name == "nats" { // it has no metrics of Prometheus
					continue
				}
				var found []monitoringv1.PodMetricsEndpoint
				for _, m := range of[*monitoringv1.PodMonitor](all) {
					for _, selected := range matching(t, all, &m.Spec.Selector) {
						if selected == w.name {
							found = append(found, m.Spec.PodMetricsEndpoints...)
						}
					}
				}
				if len(found) != 1 {
					t.Error(at(w, "it is scraped %d times, want once", len(found)))
					continue
				}
				e := found[0]
				if port := *e.Port; !hasPort(w.container(), port) || port != "admin" && hasPort(w.container(), "admin") {
					t.Error(at(w, "port %s of %+v", port, w.container().Ports))
				}
				if len(e.RelabelConfigs) != 1 || e.RelabelConfigs[0].TargetLabel != "job" || !strings.HasPrefix(*e.RelabelConfigs[0].Replacement, "resnet18") {
					t.Error(at(w, "labels %+v, want a job for the rules", e.RelabelConfigs))
				}
				if keyed := e.Authorization != nil; keyed != test.keyed[w.name] {
					t.Error(at(w, "with a key: %v, want %v", keyed, !keyed))
				} else if keyed && (e.Authorization.Credentials.Name != "resnet18-tokens" || !strings.Contains(string(doc), "--from-file="+e.Authorization.Credentials.Key)) {
					t.Error(at(w, "docs/kubernetes.md does not say how to make %+v", e.Authorization.Credentials))
				}
			}
		})
	}
}

// TestPrometheusRule checks that the chart has the rules of monitoring/, and that all objects have the labels by which Prometheus
// selects them.
func TestPrometheusRule(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(root, "monitoring", "prometheus", "prometheusrule.yml"))
	if err != nil {
		t.Fatal(err)
	}
	all := installed(t, "default", monitored)
	want := of[*monitoringv1.PrometheusRule](parse(t, data))
	got := of[*monitoringv1.PrometheusRule](all)
	if len(got) != 1 || len(want) != 1 || len(want[0].Spec.Groups) == 0 {
		t.Fatalf("%d rules in the chart, %d in monitoring/", len(got), len(want))
	}
	if diff := gocmp.Diff(want[0].Spec, got[0].Spec); diff != "" {
		t.Errorf("rules (-monitoring +chart):\n%s", diff)
	}
	operators := 0
	for id, o := range all {
		if o.GroupVersionKind().Group != "monitoring.coreos.com" {
			continue
		}
		if operators++; o.GetLabels()["release"] != "prometheus" || o.GetLabels()["app.kubernetes.io/part-of"] != "resnet18cloud" {
			t.Errorf("%s has labels %v", id, o.GetLabels())
		}
	}
	if operators != 3 {
		t.Errorf("%d objects of the operator, want 3", operators)
	}
	for id, o := range installed(t, "default") {
		if o.GroupVersionKind().Group == "monitoring.coreos.com" {
			t.Errorf("%s is there by default: without the operator, the chart cannot be installed", id)
		}
	}
}
