//go:build kubernetes

package kubernetes

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud/autoscale/keda/externalscaler"
)

// metricsAddr is the address of the stand-in for KEDA's metrics server.
const metricsAddr = "10.1.255.1:6444"

// testKEDA makes Kubernetes' own HorizontalPodAutoscaler follow our policy in the same way as KEDA: HPA, aggregated
// API of external metrics, gRPC, policy. The test replaces KEDA's operator, which creates an HPA for a ScaledObject,
// and its metrics server.
func testKEDA(t *testing.T, c *cluster) {
	parts := documents(t, "keda.yaml")
	for _, part := range parts[:len(parts)-1] {
		if err := c.applyDocument(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	defer c.removeDeployment(t, "scaling-policy")
	client := c.dialPolicy(t)
	c.serveExternalMetrics(t, client)
	name := c.operate(t, parts[len(parts)-1], client)
	defer func() {
		if err := c.of("HorizontalPodAutoscaler").Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()

	l := startLoad(t, c, 20)
	wanted := c.growUnder(t, l)
	eventually(t, timeout, "the HPA's status", func() error {
		hpa, err := get[autoscalingv2.HorizontalPodAutoscaler](t.Context(), c, "HorizontalPodAutoscaler", name)
		if err == nil && hpa.Status.DesiredReplicas < wanted {
			err = fmt.Errorf("status %+v", hpa.Status)
		}
		return err
	})
	t.Logf("the HPA grew to %d replicas", wanted)
	l.end(t)
}

// dialPolicy waits for the policy's pod, and creates a client like KEDA's.
func (c *cluster) dialPolicy(t *testing.T) externalscaler.ExternalScalerClient {
	t.Helper()
	var addr string
	eventually(t, timeout, "the policy's address", func() error {
		addresses, err := c.readyAddresses(t.Context(), "scaling-policy", "")
		if err == nil && len(addresses) != 1 {
			err = fmt.Errorf("addresses %v", addresses)
		}
		if err == nil {
			addr = addresses[0].String() + ":9090"
		}
		return err
	})
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return externalscaler.NewExternalScalerClient(conn)
}

// serveExternalMetrics registers an aggregated API that asks the scaler, like KEDA's metrics server.
func (c *cluster) serveExternalMetrics(t *testing.T, client externalscaler.ExternalScalerClient) {
	t.Helper()
	const api = "/apis/external.metrics.k8s.io/v1beta1"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "external.metrics.k8s.io/v1beta1", "resources": []}`)
	})
	mux.HandleFunc("GET "+api+"/namespaces/{namespace}/{metric}", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.PathValue("metric"), "s0-")
		answer, err := client.GetMetrics(r.Context(), &externalscaler.GetMetricsRequest{MetricName: name})
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": {}, "items": [
			{"metricName": %q, "metricLabels": null, "timestamp": %q, "value": "%dm"}]}`, r.PathValue("metric"), metav1.Now().UTC().Format("2006-01-02T15:04:05Z"),
			int64(answer.GetMetricValues()[0].GetMetricValueFloat()*1000))
	})
	listener, err := net.Listen("tcp", metricsAddr)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	server.Listener, server.TLS = listener, &tls.Config{}
	server.StartTLS()
	t.Cleanup(server.Close)
	for _, document := range []string{
		`{apiVersion: v1, kind: Service, metadata: {name: metrics}, spec: {ports: [{name: https, port: 443, targetPort: 6444}]}}`,
		`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: metrics, labels: {kubernetes.io/service-name: metrics}},
			addressType: IPv4, ports: [{name: https, port: 6444}], endpoints: [{addresses: [10.1.255.1], conditions: {ready: true}}]}`,
	} {
		if err := c.applyDocument(t.Context(), []byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	services := c.client.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	force := true
	_, err = services.Patch(t.Context(), "v1beta1.external.metrics.k8s.io", types.ApplyPatchType, []byte(`{apiVersion: apiregistration.k8s.io/v1,
		kind: APIService, metadata: {name: v1beta1.external.metrics.k8s.io}, spec: {group: external.metrics.k8s.io, version: v1beta1,
		groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {name: metrics, namespace: `+namespace+`}}}`),
		metav1.PatchOptions{FieldManager: "test", Force: &force})
	if err != nil {
		t.Fatal(err)
	}
}

// operate creates the HPA that KEDA creates for a ScaledObject and the scaler's metrics.
func (c *cluster) operate(t *testing.T, scaledObject []byte, client externalscaler.ExternalScalerClient) (hpa string) {
	t.Helper()
	var object struct {
		Metadata metav1.ObjectMeta
		Spec     struct {
			ScaleTargetRef                   struct{ Name string }
			MinReplicaCount, MaxReplicaCount int32
			Advanced                         struct {
				HorizontalPodAutoscalerConfig struct {
					Behavior autoscalingv2.HorizontalPodAutoscalerBehavior
				}
			}
			Triggers []struct{ Type string }
		}
	}
	if err := yaml.Unmarshal(scaledObject, &object); err != nil {
		t.Fatal(err)
	}
	answer, err := client.GetMetricSpec(t.Context(), new(externalscaler.ScaledObjectRef))
	if err != nil {
		t.Fatal(err)
	}
	metric := answer.GetMetricSpecs()[0]
	target := resource.NewMilliQuantity(int64(metric.GetTargetSizeFloat()*1000), resource.DecimalSI)
	made := autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: metav1.ObjectMeta{Name: "keda-hpa-" + object.Metadata.Name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: object.Spec.ScaleTargetRef.Name},
			MinReplicas:    &object.Spec.MinReplicaCount, MaxReplicas: object.Spec.MaxReplicaCount,
			Behavior: &object.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: "s0-" + metric.GetMetricName()}, // KEDA numbers triggers
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: target}}}},
		},
	}
	document, err := yaml.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.applyDocument(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	return made.Name
}
