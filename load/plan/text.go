package plan

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Text writes the plan as text.
func (p *Plan) Text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "one replica\tp%g<%s holds at %.1f requests/s; capacity %.1f answers/s; %.1f ms of CPU time per image\n",
		100*(1-p.Share), p.Limit, p.Rate, p.Capacity, 1000*p.CPUSeconds)
	fmt.Fprintf(tw, "schedule\t%s: %.0f images in %s, at most %.4g/s, with a headroom of %.0f %%\n",
		p.Schedule.Name, p.Schedule.Expected(), p.Schedule.Duration(), p.peakRate(), 100*p.Headroom)
	fmt.Fprintf(tw, "replicas\t%d at the lowest rate, %d at the highest, %.2f on average\n", p.Min, p.Max, p.Mean)
	fmt.Fprintf(tw, "each replica\t%s\n", strings.Join(p.requests(), ", "))
	for _, b := range []struct {
		name string
		Bill
	}{{"never scaled", p.Static}, {"scaled perfectly", p.Scaled}} {
		fmt.Fprintf(tw, "%s\t%.3g CPU hours, %.0f %% in use, %.2f per million images\n", b.name, b.CPUHours, 100*b.Utilization, b.PerMillion)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

func (p *Plan) peakRate() float64 {
	return slices.Max(p.Schedule.Rates)
}

func (p *Plan) requests() []string {
	parts := []string{fmt.Sprintf("cpu: %s", millis(p.CPURequest))}
	if p.MemoryRequest > 0 {
		parts = append(parts, fmt.Sprintf("memory: %.0fMi", p.MemoryRequest/(1<<20)))
	}
	return parts
}

// minMemoryLimit is what large pictures need at most, with the settings of k8s/deployment.yaml.
const minMemoryLimit = 512 << 20

// limits are what the chart needs beside requests: the same CPUs, and memory for large pictures, which the search may not
// have sent.
func (p *Plan) limits() []string {
	memory := max(minMemoryLimit, p.MemoryRequest)
	return []string{fmt.Sprintf("cpu: %s", millis(p.CPURequest)), fmt.Sprintf("memory: %.0fMi", memory/(1<<20))}
}

// millis writes CPUs as Kubernetes does. A target must be above 0.
func millis(cpus float64) string { return fmt.Sprintf("%.0fm", max(1, math.Floor(1000*cpus+0.5))) }

// YAML writes three documents for the Deployment of k8s/deployment.yaml: an HPA and a ScaledObject of KEDA, of which a
// cluster uses one, and values of the chart charts/resnet18cloud.
func (p *Plan) YAML(w io.Writer) error {
	_, err := fmt.Fprintf(w, `# Kubernetes' own autoscaler. The minimum number of replicas meets the limit at this CPU usage, with the headroom.
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
# Or KEDA. A replica classifies this number of waiting images in half of the time allowed.
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
# Values of the Helm chart, for autoscaling.mode hpa or another one. A replica works on as many images at a time as its limit says.
replicas: %[5]d
resources:
  requests: {%[6]s}
  limits: {%[7]s}
autoscaling: {minReplicas: %[1]d, maxReplicas: %[2]d, averageCPU: %[3]s}
`, p.Min, p.Max, millis(p.HPACPU), p.QueuePerReplica, int(math.Ceil(p.Mean)), strings.Join(p.requests(), ", "), strings.Join(p.limits(), ", "))
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}
