package plan

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Text writes the plan for people.
func (p *Plan) Text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "one replica\t%.1f requests/s hold p%g<%s; %.1f answers/s at most; %.1f CPU ms an image\n",
		p.Rate, 100*(1-p.Share), p.Limit, p.Capacity, 1000*p.CPUSeconds)
	fmt.Fprintf(tw, "schedule\t%s: %.0f images in %s, at most %.4g/s, planned with %.0f %% more\n",
		p.Schedule.Name, p.Schedule.Expected(), p.Schedule.Duration(), p.peakRate(), 100*p.Headroom)
	fmt.Fprintf(tw, "replicas\t%d at the lowest rate, %d at the highest, %.2f on average\n", p.Least, p.Peak, p.Mean)
	fmt.Fprintf(tw, "a replica\t%s\n", strings.Join(p.requests(), ", "))
	for _, b := range []struct {
		name string
		Bill
	}{{"never scaled", p.Static}, {"scaled perfectly", p.Scaled}} {
		fmt.Fprintf(tw, "%s\t%.3g CPU hours, %.0f %% used, %.2f per million images\n", b.name, b.CPUHours, 100*b.Utilization, b.PerMillion)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

func (p *Plan) peakRate() float64 {
	most := 0.0
	for _, r := range p.Schedule.Rates {
		most = max(most, r)
	}
	return most
}

func (p *Plan) requests() []string {
	parts := []string{fmt.Sprintf("cpu: %s", millis(p.CPURequest))}
	if p.MemoryRequest > 0 {
		parts = append(parts, fmt.Sprintf("memory: %.0fMi", p.MemoryRequest/(1<<20)))
	}
	return parts
}

// millis writes CPUs as Kubernetes does, which takes no target of nothing.
func millis(cpus float64) string { return fmt.Sprintf("%.0fm", max(1, math.Floor(1000*cpus+0.5))) }

// YAML writes an HPA, a ScaledObject of KEDA, of which a cluster takes one, and values for a chart, as three
// documents. They scale the Deployment of k8s/deployment.yaml.
func (p *Plan) YAML(w io.Writer) error {
	_, err := fmt.Fprintf(w, `# Kubernetes' own autoscaler. The smallest fleet holds the limit at this CPU use, and the headroom more.
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: resnet18-hpa}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: resnet18-app}
  minReplicas: %[1]d
  maxReplicas: %[2]d
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: AverageValue, averageValue: %[3]s}}
---
# Or KEDA. Images waiting per replica that are gone in half of the time allowed.
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: resnet18-app}
spec:
  scaleTargetRef: {name: resnet18-app}
  minReplicaCount: %[1]d
  maxReplicaCount: %[2]d
  triggers:
    - type: metrics-api
      metadata: {url: "http://dispatcher-service:8080/status", valueLocation: queue_size, targetValue: "%[4]d"}
---
# Values of a Helm chart.
replicas: %[5]d
resources:
  requests: {%[6]s}
autoscaling: {minReplicas: %[1]d, maxReplicas: %[2]d, averageCPU: %[3]s}
`, p.Least, p.Peak, millis(p.HPACPU), p.QueuePerReplica, int(math.Ceil(p.Mean)), strings.Join(p.requests(), ", "))
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}
