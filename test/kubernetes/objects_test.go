//go:build kubernetes

package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// resources are the objects used by tests, by kind.
var resources = map[string]schema.GroupVersionResource{
	"Service":                 {Version: "v1", Resource: "services"},
	"ServiceAccount":          {Version: "v1", Resource: "serviceaccounts"},
	"Pod":                     {Version: "v1", Resource: "pods"},
	"Deployment":              {Group: "apps", Version: "v1", Resource: "deployments"},
	"StatefulSet":             {Group: "apps", Version: "v1", Resource: "statefulsets"},
	"PodDisruptionBudget":     {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	"HorizontalPodAutoscaler": {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	"Role":                    {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	"RoleBinding":             {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	"Event":                   {Group: "events.k8s.io", Version: "v1", Resource: "events"},
	"Lease":                   {Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
	"Node":                    {Version: "v1", Resource: "nodes"},
	"EndpointSlice":           {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
}

func (c *cluster) of(kind string) dynamic.ResourceInterface {
	resource, ok := resources[kind]
	if !ok {
		panic("no resource known of kind " + kind)
	}
	if resource.Resource == "nodes" {
		return c.client.Resource(resource)
	}
	return c.client.Resource(resource).Namespace(c.namespace)
}

// in returns the cluster with another namespace to work in.
func (c *cluster) in(namespace string) *cluster {
	other := *c
	other.namespace = namespace
	return &other
}

// get reads an object as T.
func get[T any](ctx context.Context, c *cluster, kind, name string) (*T, error) {
	object, err := c.of(kind).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	typed := new(T)
	return typed, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed)
}

// list reads all objects with the labels as T.
func list[T any](ctx context.Context, c *cluster, kind, labels string) ([]T, error) {
	found, err := c.of(kind).List(ctx, metav1.ListOptions{LabelSelector: labels})
	if err != nil {
		return nil, err
	}
	typed := make([]T, len(found.Items))
	for i, item := range found.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &typed[i]); err != nil {
			return nil, err
		}
	}
	return typed, nil
}

// apply applies the files of k8s/, like kubectl apply --server-side --validate=strict.
func (c *cluster) apply(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		for i, document := range documents(t, name) {
			if err := c.applyDocument(t.Context(), document); err != nil {
				t.Fatalf("apply %s, document %d: %v", name, i+1, err)
			}
		}
	}
}

// documents returns the documents of a file of k8s/.
func documents(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(data, []byte("\n---\n"))
}

func (c *cluster) applyDocument(ctx context.Context, document []byte) error {
	var object unstructured.Unstructured
	if err := yaml.Unmarshal(document, &object.Object); err != nil {
		return err
	}
	if _, ok := resources[object.GetKind()]; !ok {
		return fmt.Errorf("unexpected kind %s", object.GetKind())
	}
	force := true
	_, err := c.of(object.GetKind()).Patch(ctx, object.GetName(), types.ApplyPatchType, document,
		metav1.PatchOptions{FieldManager: "test", Force: &force, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// patch merges fields into an object, or into its subresource.
func (c *cluster) patch(ctx context.Context, kind, name string, fields map[string]any, subresource ...string) error {
	data, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = c.of(kind).Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{}, subresource...)
	return err
}

// prepare creates the node, and makes the namespace enforce the strictest pod security standard.
func (c *cluster) prepare(t *testing.T) {
	t.Helper()
	node := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": nodeName}}}
	_, err := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, timeout, "the namespace", func() error {
		_, err := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Patch(t.Context(), namespace, types.MergePatchType,
			[]byte(`{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`), metav1.PatchOptions{})
		return err
	})
	eventually(t, timeout, "the service account default", func() error {
		_, err := c.of("ServiceAccount").Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
}
