//go:build kubernetes

package kubernetes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/resnet18cloud/resnet18cloud/autoscale/keda"
	"github.com/resnet18cloud/resnet18cloud/autoscale/keda/externalscaler"
)

// metricsAddr is where the stand-in for KEDA's metrics server listens.
const metricsAddr = "10.1.255.1:6444"

// testKEDA has Kubernetes' own HorizontalPodAutoscaler do what our policy advises, over the way that KEDA goes:
// HPA, aggregated API of external metrics, gRPC, policy. Between the API and gRPC stands this test.
func testKEDA(t *testing.T, c *cluster) {
	const scaler = "127.0.0.1:9090"
	start(t, "autoscaler-keda", exec.Command(c.kubelet.binary, "autoscaler", "--keda-addr", scaler, "--addr", "-", "--deployment", replicas,
		"--dispatchers", c.dispatcherURL(t), "--min", "2", "--max", "6", "--kubeconfig", c.writeKubeconfig(t, "keda", adminToken)))
	conn, err := grpc.NewClient(scaler, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := externalscaler.NewExternalScalerClient(conn)
	c.serveExternalMetrics(t, client)
	c.applyHPA(t, client)
	defer func() {
		if err := c.of("HorizontalPodAutoscaler").Delete(context.WithoutCancel(t.Context()), "keda-hpa-resnet18", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()

	l := startLoad(t, c, 150)
	wanted := c.awaitWanted(t, "the HPA to add replicas", func(n int32) bool { return n > 3 })
	eventually(t, timeout, "the HPA's status", func() error {
		hpa, err := get[autoscalingv2.HorizontalPodAutoscaler](t.Context(), c, "HorizontalPodAutoscaler", "keda-hpa-resnet18")
		if err == nil && hpa.Status.DesiredReplicas < wanted {
			err = fmt.Errorf("status %+v", hpa.Status)
		}
		return err
	})
	t.Logf("the HPA grew to %d replicas", wanted)
	l.end(t)
}

// serveExternalMetrics registers an aggregated API that asks the scaler, as KEDA's metrics server does.
func (c *cluster) serveExternalMetrics(t *testing.T, client externalscaler.ExternalScalerClient) {
	t.Helper()
	const api = "/apis/external.metrics.k8s.io/v1beta1"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "external.metrics.k8s.io/v1beta1", "resources": []}`)
	})
	mux.HandleFunc("GET "+api+"/namespaces/{namespace}/{metric}", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.PathValue("metric"), "s0-") // KEDA numbers triggers
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

// applyHPA makes the HPA that KEDA makes of what the scaler says.
func (c *cluster) applyHPA(t *testing.T, client externalscaler.ExternalScalerClient) {
	t.Helper()
	var spec *externalscaler.MetricSpec
	eventually(t, timeout, "the scaler to answer", func() error {
		answer, err := client.GetMetricSpec(t.Context(), new(externalscaler.ScaledObjectRef))
		if err != nil {
			return err
		}
		if spec = answer.GetMetricSpecs()[0]; spec.GetMetricName() != keda.Metric {
			return errors.New("another metric: " + spec.GetMetricName())
		}
		return nil
	})
	err := c.applyDocument(t.Context(), fmt.Appendf(nil, `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: keda-hpa-resnet18},
		spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %s}, minReplicas: 2, maxReplicas: 6, metrics: [{type: External,
		external: {metric: {name: s0-%s}, target: {type: AverageValue, averageValue: "%g"}}}]}}`, replicas, spec.GetMetricName(), spec.GetTargetSizeFloat()))
	if err != nil {
		t.Fatal(err)
	}
}
