package monitoring

import (
	"bytes"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Group is a group of rules in Prometheus' format, whose rules are evaluated together and in order.
type Group struct {
	Name  string `json:"name"`
	Rules []Rule `json:"rules"`
}

// Rule is a recording or an alerting rule in Prometheus' format.
type Rule struct {
	Record      string            `json:"record,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Groups returns the rules as Prometheus reads them.
func Groups() []Group {
	recording, alerting := Group{Name: "resnet18.records"}, Group{Name: "resnet18.alerts"}
	for _, r := range Records() {
		recording.Rules = append(recording.Rules, Rule{Record: r.Name, Expr: r.Expr})
	}
	for _, a := range Alerts() {
		alerting.Rules = append(alerting.Rules, Rule{Alert: a.Name, Expr: a.Expr, For: a.For,
			Labels:      map[string]string{"severity": a.Severity},
			Annotations: map[string]string{"summary": a.Summary, "description": "What it means: " + a.Meaning + ".", "runbook_url": a.Runbook()}})
	}
	return []Group{recording, alerting}
}

// generated is the first line of files.
const generated = "# Made by monitoring/rules.go; change that, and run: go test ./monitoring -run Files -update\n"

// Rules returns a file of rules for Prometheus' rule_files.
func Rules() ([]byte, error) {
	text, err := yaml.Marshal(map[string]any{"groups": Groups()})
	if err != nil {
		return nil, fmt.Errorf("write rules: %w", err)
	}
	return append([]byte(generated), text...), nil
}

// PrometheusRule returns the rules as an object of the Prometheus operator.
func PrometheusRule() ([]byte, error) {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
		"metadata": map[string]any{"name": "resnet18cloud"}, "spec": map[string]any{"groups": Groups()},
	})
	if err != nil {
		return nil, fmt.Errorf("write PrometheusRule: %w", err)
	}
	return bytes.Join([][]byte{[]byte(generated), text}, nil), nil
}
