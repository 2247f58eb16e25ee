package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// object is a Kubernetes object: as it is written, and as the API's own type.
type object struct {
	unstructured.Unstructured
	typed runtime.Object // nil for kinds that Kubernetes does not have itself
}

func (o *object) id() string { return o.GetKind() + "/" + o.GetName() }

// objects are what is applied together, by kind and name.
type objects map[string]*object

// parse reads YAML documents strictly: unknown and doubled fields are errors.
func parse(t *testing.T, data []byte) objects {
	t.Helper()
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	all := make(objects)
	for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
		o := new(object)
		if err := yaml.Unmarshal(document, &o.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if o.Object == nil {
			continue
		}
		if scheme.Scheme.Recognizes(o.GroupVersionKind()) {
			var err error
			if o.typed, _, err = strict.Decode(document, nil, nil); err != nil {
				t.Fatalf("%s: %v", o.id(), err)
			}
		} else if o.GetKind() != "ScaledObject" {
			t.Fatalf("unexpected %s %s", o.GetAPIVersion(), o.GetKind())
		}
		if all[o.id()] != nil {
			t.Fatalf("%s is there twice", o.id())
		}
		all[o.id()] = o
	}
	return all
}

// of returns the objects of a type, in the order of their names.
func of[T runtime.Object](all objects) []T {
	var found []T
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if typed, ok := all[id].typed.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// workload is a Deployment or a StatefulSet.
type workload struct {
	name     string
	replicas *int32
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
}

func (w workload) container() corev1.Container { return w.pod.Spec.Containers[0] }

func workloads(all objects) []workload {
	var found []workload
	for _, d := range of[*appsv1.Deployment](all) {
		found = append(found, workload{d.Name, d.Spec.Replicas, d.Spec.Selector, d.Spec.Template, nil})
	}
	for _, s := range of[*appsv1.StatefulSet](all) {
		found = append(found, workload{s.Name, s.Spec.Replicas, s.Spec.Selector, s.Spec.Template, s.Spec.VolumeClaimTemplates})
	}
	return found
}

// matching returns the names of the workloads whose pods a selector selects.
func matching(t *testing.T, all objects, selector *metav1.LabelSelector) []string {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range workloads(all) {
		if s.Matches(labels.Set(w.pod.Labels)) {
			names = append(names, w.name)
		}
	}
	return names
}

// root is the project's folder.
const root = "../.."

// overlay renders a folder of k8s/.
func overlay(t *testing.T, dir string) objects {
	t.Helper()
	data, err := kustomize(filepath.Join(root, "k8s", dir))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, data)
}

// composed renders a kustomization that is made of others in k8s/.
func composed(t *testing.T, resources []string, components ...string) ([]byte, error) {
	t.Helper()
	k8s, err := filepath.Abs(filepath.Join(root, "k8s"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	relative := func(names []string) []string {
		var paths []string
		for _, name := range names {
			path, err := filepath.Rel(dir, filepath.Join(k8s, name))
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
		return paths
	}
	text, err := yaml.Marshal(map[string]any{"resources": relative(resources), "components": relative(components)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return kustomize(dir)
}

// shapes are the installations that every test of this package looks at.
func shapes(t *testing.T) map[string]objects {
	t.Helper()
	all := map[string]objects{"minikube": overlay(t, "overlays/minikube"), "production": overlay(t, "overlays/production")}
	for _, scaler := range []string{"autoscaler", "hpa", "keda"} {
		data, err := composed(t, []string{"overlays/minikube"}, "components/"+scaler, "components/keys")
		if err != nil {
			t.Fatal(err)
		}
		all["minikube with keys and "+scaler] = parse(t, data)
	}
	for _, scaler := range []string{"hpa", "keda"} {
		all["production with "+scaler] = productionWith(t, scaler)
	}
	return all
}

// productionWith renders a copy of the overlay production with another autoscaler.
func productionWith(t *testing.T, scaler string) objects {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "k8s"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlays", "production", "kustomization.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("\n  - autoscaler\n"), []byte("\n  - "+scaler+"\n"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := kustomize(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, data)
}

// file parses a plain file of k8s/.
func file(t *testing.T, name string) objects {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "k8s", name))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, data)
}

// plain returns an object without what overlays add to all objects.
func plain(o *object) map[string]any {
	c := o.DeepCopy()
	l := c.GetLabels()
	delete(l, "app.kubernetes.io/part-of")
	c.SetLabels(l)
	return c.Object
}

func names(all objects) string { return strings.Join(slices.Sorted(maps.Keys(all)), ", ") }

func at(w workload, format string, args ...any) string {
	return w.name + ": " + fmt.Sprintf(format, args...)
}
