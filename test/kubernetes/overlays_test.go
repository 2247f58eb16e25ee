//go:build kubernetes

package kubernetes

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// production is the namespace of k8s/overlays/production.
const production = "resnet18cloud"

// TestOverlays applies what kustomize and the chart render for production. The API server must accept it strictly, the
// restricted standard must let all pods be created, and the autoscaler may do what it needs and nothing else. There are no
// nodes: pods are created and do not run.
func TestOverlays(t *testing.T) {
	c := startCluster(t)
	for _, args := range [][]string{
		{"kustomize", "../../k8s/overlays/production"},
		{"chart", "-namespace", production, "-f", "../../charts/resnet18cloud/values-production.yaml", "../../charts/resnet18cloud"},
	} {
		t.Run(args[0], func(t *testing.T) {
			c.applyRendered(t, rendered(t, args...))
			want := map[string]int{"dispatcher": 2, "nats": 3, "autoscaler": 2, "resnet18-app": 1}
			eventually(t, timeout, "pods of every part", func() error {
				got := make(map[string]int)
				for _, pod := range c.podsOf(t, "") {
					if pod.DeletionTimestamp == nil {
						got[pod.Labels["app"]]++
					}
				}
				// A rollout that cannot end, without nodes, has pods of both kinds.
				for app, n := range want {
					if got[app] < n {
						return fmt.Errorf("pods %v, want %v", got, want)
					}
				}
				return nil
			})
		})
	}
	t.Run("guard", func(t *testing.T) { testGuard(t, c) })
}

// rendered runs the command of test/manifests.
func rendered(t *testing.T, args ...string) []byte {
	t.Helper()
	run := exec.Command("go", append([]string{"run", "."}, args...)...)
	run.Dir = "../manifests"
	var problems bytes.Buffer
	run.Stderr = &problems
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", run, err, &problems)
	}
	return out
}

// applyRendered applies documents, in the namespace production if they name none.
func (c *cluster) applyRendered(t *testing.T, data []byte) {
	t.Helper()
	known := maps.Clone(resources)
	maps.Copy(known, map[string]schema.GroupVersionResource{
		"ConfigMap":     {Version: "v1", Resource: "configmaps"},
		"NetworkPolicy": {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	})
	clusterWide := map[string]schema.GroupVersionResource{
		"Namespace":                        {Version: "v1", Resource: "namespaces"},
		"ValidatingAdmissionPolicy":        {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
		"ValidatingAdmissionPolicyBinding": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	}
	force := true
	for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			t.Fatal(err)
		}
		var client dynamic.ResourceInterface
		if r, ok := clusterWide[object.GetKind()]; ok {
			client = c.client.Resource(r)
		} else if r, ok := known[object.GetKind()]; ok {
			client = c.client.Resource(r).Namespace(cmp.Or(object.GetNamespace(), production))
		} else {
			t.Fatalf("unexpected kind %s", object.GetKind())
		}
		if _, err := client.Patch(t.Context(), object.GetName(), types.ApplyPatchType, document,
			metav1.PatchOptions{FieldManager: "test", Force: &force, FieldValidation: metav1.FieldValidationStrict}); err != nil {
			t.Errorf("apply %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// podsOf lists pods of production, of a part if app is not empty.
func (c *cluster) podsOf(t *testing.T, app string) []corev1.Pod {
	t.Helper()
	var options metav1.ListOptions
	if app != "" {
		options.LabelSelector = "app=" + app
	}
	found, err := c.client.Resource(resources["Pod"]).Namespace(production).List(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	pods := make([]corev1.Pod, len(found.Items))
	for i, item := range found.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &pods[i]); err != nil {
			t.Fatal(err)
		}
	}
	return pods
}

// testGuard patches pods as the autoscaler.
func testGuard(t *testing.T, c *cluster) {
	config := rest.CopyConfig(c.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + production + ":autoscaler"}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	pods := client.Resource(resources["Pod"]).Namespace(production)
	patch := func(pod, change string) error {
		_, err := pods.Patch(context.WithoutCancel(t.Context()), pod, types.MergePatchType, []byte(change), metav1.PatchOptions{})
		return err
	}
	replica, other := c.podsOf(t, replicas)[0].Name, c.podsOf(t, "dispatcher")[0].Name
	const cost = `"controller.kubernetes.io/pod-deletion-cost"`
	eventually(t, timeout, "the policy to hold", func() error {
		if err := patch(other, `{"metadata": {"annotations": {`+cost+`: "-1"}}}`); !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
			return fmt.Errorf("error %v, want a refusal", err)
		}
		return nil
	})
	for _, test := range []struct{ pod, change, refusal string }{
		{replica, `{"metadata": {"annotations": {` + cost + `: "-1"}}}`, ""},
		{replica, `{"metadata": {"annotations": {` + cost + `: "5"}}}`, ""},
		{replica, `{"metadata": {"annotations": {` + cost + `: null}}}`, ""},
		{other, `{"metadata": {"annotations": {` + cost + `: "-1"}}}`, "may only update pods of resnet18-app"},
		{replica, `{"metadata": {"annotations": {"prometheus.io/port": "1"}}}`, "may only change the annotation"},
		{replica, `{"metadata": {"annotations": {"prometheus.io/port": null}}}`, "may only change the annotation"},
		{replica, `{"metadata": {"annotations": {"new": "1"}}}`, "may only change the annotation"},
		{replica, `{"metadata": {"labels": {"app": "other"}}}`, "may only change annotations"},
		{replica, `{"metadata": {"finalizers": ["example.com/kept"]}}`, "may only change annotations"},
		{replica, `{"metadata": {"ownerReferences": null}}`, "may only change annotations"},
		{replica, `{"spec": {"activeDeadlineSeconds": 1}}`, "may only change annotations"},
	} {
		switch err := patch(test.pod, test.change); {
		case test.refusal == "" && err != nil:
			t.Errorf("%s %s: %v", test.pod, test.change, err)
		case test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)):
			t.Errorf("%s %s: error %v, want %q", test.pod, test.change, err, test.refusal)
		}
	}
}
