package main

import (
	"cmp"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = root + "/charts/resnet18cloud"

// installed renders the chart with values in the order given.
func installed(t *testing.T, namespace string, values ...map[string]any) objects {
	t.Helper()
	files := make([]string, len(values))
	for i, v := range values {
		files[i] = valuesFile(t, v)
	}
	r, err := chart(chartDir, namespace, files...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, []byte(strings.Join(r.documents, "\n---\n")))
}

func valuesFile(t *testing.T, values map[string]any) string {
	t.Helper()
	data, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// production are the values of the production shape.
func production(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(chartDir, "values-production.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// scaledBy are values that choose what scales.
func scaledBy(mode string) map[string]any {
	return map[string]any{"autoscaling": map[string]any{"mode": mode}}
}

// TestChartEqualsKustomize checks that the chart renders the objects that kustomize does.
func TestChartEqualsKustomize(t *testing.T) {
	t.Parallel()
	compare := func(name string, got, want objects) {
		t.Run(name, func(t *testing.T) {
			want = maps.Clone(want)
			delete(want, "Namespace/resnet18cloud") // helm --create-namespace
			if names(normal(got)) != names(normal(want)) {
				t.Fatalf("the chart has\n%s\nkustomize has\n%s", names(normal(got)), names(normal(want)))
			}
			for id, w := range normal(want) {
				if diff := gocmp.Diff(w.Object, normal(got)[id].Object); diff != "" {
					t.Errorf("%s (-kustomize +chart):\n%s", id, diff)
				}
			}
		})
	}
	compare("minikube", installed(t, "default", scaledBy("none")), overlay(t, "overlays/minikube"))
	compare("production", installed(t, "resnet18cloud", production(t)), overlay(t, "overlays/production"))
	for _, scaler := range []string{"hpa", "keda"} {
		compare("production with "+scaler, installed(t, "resnet18cloud", production(t), scaledBy(scaler)), productionWith(t, scaler))
	}
	traces := map[string]any{"tracing": map[string]any{"endpoint": "http://otel-collector.monitoring:4318", "sample": "10%"}}
	data, err := composed(t, []string{"overlays/minikube"}, "components/traces")
	if err != nil {
		t.Fatal(err)
	}
	compare("minikube with traces", installed(t, "default", scaledBy("none"), traces), parse(t, data))
	if data, err = composed(t, []string{"overlays/production"}, "components/traces", "overlays/production/traces"); err != nil {
		t.Fatal(err)
	}
	compare("production with traces", installed(t, "resnet18cloud", production(t), traces), parse(t, data))
	if data, err = composed(t, []string{"overlays/production"}, "components/monitoring"); err != nil {
		t.Fatal(err)
	}
	compare("production with monitoring", installed(t, "resnet18cloud", production(t), map[string]any{"monitoring": map[string]any{"podMonitors": true}}), parse(t, data))
	keys := map[string]any{"keys": map[string]any{"enabled": true}}
	for _, scaler := range []string{"autoscaler", "hpa", "keda"} {
		data, err := composed(t, []string{"overlays/minikube"}, "components/"+scaler)
		if err != nil {
			t.Fatal(err)
		}
		// The component's address is in this namespace.
		compare("minikube with "+scaler, installed(t, "resnet18cloud", scaledBy(scaler)), parse(t, data))
		if data, err = composed(t, []string{"overlays/minikube"}, "components/"+scaler, "components/keys"); err != nil {
			t.Fatal(err)
		}
		compare("minikube with keys and "+scaler, installed(t, "resnet18cloud", scaledBy(scaler), keys), parse(t, data))
	}
}

// normal returns objects without what differs by the way of installing: namespaces, labels of the release, the name of a
// ConfigMap and the order of lists whose order means nothing.
func normal(all objects) objects {
	result := make(objects)
	for _, o := range all {
		o = &object{Unstructured: *o.DeepCopy()}
		o.SetNamespace("")
		labels := o.GetLabels()
		maps.DeleteFunc(labels, func(name, _ string) bool { return strings.Contains(name, "/") })
		if len(labels) == 0 {
			labels = nil
		}
		o.SetLabels(labels)
		if o.GetKind() == "ConfigMap" {
			o.SetName("nats")
		}
		walk(o.Object)
		result[o.id()] = o
	}
	return result
}

func walk(value any) {
	switch value := value.(type) {
	case map[string]any:
		if m, ok := value["configMap"].(map[string]any); ok {
			m["name"] = "nats"
		}
		if value["kind"] == "ServiceAccount" {
			delete(value, "namespace")
		}
		if annotations, ok := value["annotations"].(map[string]any); ok {
			if delete(annotations, "checksum/config"); len(annotations) == 0 {
				delete(value, "annotations")
			}
		}
		for _, name := range []string{"env", "ports", "volumes", "volumeMounts"} {
			if list, ok := value[name].([]any); ok {
				slices.SortStableFunc(list, func(a, b any) int { return cmp.Compare(nameOf(a), nameOf(b)) })
			}
		}
		for _, v := range value {
			walk(v)
		}
	case []any:
		for _, v := range value {
			walk(v)
		}
	}
}

func nameOf(value any) string {
	m, _ := value.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

// TestSchema checks that wrong values are refused, with a line that names them.
func TestSchema(t *testing.T) {
	t.Parallel()
	in := func(section string, values map[string]any) map[string]any { return map[string]any{section: values} }
	for name, test := range map[string]struct {
		values map[string]any
		want   string
	}{
		"an unknown value":            {map[string]any{"replica": 3}, "replica"},
		"an unknown value inside":     {in("autoscaling", map[string]any{"min": 1}), "/autoscaling"},
		"a text for a number":         {map[string]any{"replicas": "three"}, "/replicas"},
		"less than none":              {map[string]any{"replicas": -1}, "/replicas"},
		"a mode that is not there":    {scaledBy("knative"), "/autoscaling/mode"},
		"two autoscalers":             {in("autoscaling", map[string]any{"mode": []any{"hpa", "keda"}}), "/autoscaling/mode"},
		"a digest without algorithm":  {in("images", map[string]any{"replica": map[string]any{"digest": "0123"}}), "/images/replica/digest"},
		"memory without a unit":       {in("resources", map[string]any{"limits": map[string]any{"memory": "512"}}), "/resources/limits/memory"},
		"no CPU limit":                {in("resources", map[string]any{"limits": map[string]any{"cpu": ""}}), "/resources/limits/cpu"},
		"HTTP for NATS":               {in("nats", map[string]any{"url": "http://nats:4222"}), "/nats/url"},
		"a variable in lower case":    {in("env", map[string]any{"replica": map[string]any{"precision": "int8"}}), "/env/replica"},
		"a receiver without scheme":   {in("tracing", map[string]any{"endpoint": "collector:4317"}), "/tracing/endpoint"},
		"a share in words":            {in("tracing", map[string]any{"sample": "some"}), "/tracing/sample"},
		"a monitor that is not there": {in("monitoring", map[string]any{"serviceMonitors": true}), "/monitoring"},
		"no queue":                    {in("dispatcher", map[string]any{"queueCapacity": 0}), "/dispatcher/queueCapacity"},
		"a log format":                {map[string]any{"logFormat": "xml"}, "/logFormat"},
		"two dispatchers, one queue":  {in("dispatcher", map[string]any{"replicas": 2}), "nats.enabled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := chart(chartDir, "default", valuesFile(t, test.values)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %s", err, test.want)
			}
		})
	}
}

// TestChartOptions checks values that no shape of k8s/ has.
func TestChartOptions(t *testing.T) {
	t.Parallel()
	all := installed(t, "default", production(t), map[string]any{
		"images":    map[string]any{"pullSecrets": []any{"registry"}, "replica": map[string]any{"digest": "", "tag": "1.2.3"}},
		"env":       map[string]any{"autoscaler": map[string]any{"RESNET18_SLO": "250ms"}, "replica": map[string]any{"RESNET18_OBSERVE": 100}},
		"nats":      map[string]any{"url": "tls://nats.example:4222"},
		"resources": map[string]any{"limits": map[string]any{"memory": "2Gi"}},
	})
	for _, w := range workloads(all) {
		if s := w.pod.Spec.ImagePullSecrets; len(s) != 1 || s[0].Name != "registry" {
			t.Error(at(w, "pull secrets %v", s))
		}
	}
	replica, autoscaler, dispatcher := podOf(all, "resnet18-app").container(), podOf(all, "autoscaler").container(), podOf(all, "dispatcher").container()
	for _, test := range []struct{ what, got, want string }{
		{"image of replicas", replica.Image, "registry.example/resnet18-app:1.2.3"},
		{"their memory", value(replica, "GOMEMLIMIT"), "1720MiB"},
		{"number in their environment", value(replica, "RESNET18_OBSERVE"), "100"},
		{"SLO of the autoscaler", value(autoscaler, "RESNET18_SLO"), "250ms"},
		{"NATS of dispatchers", value(dispatcher, "RESNET18_NATS"), "tls://nats.example:4222"},
	} {
		if test.got != test.want {
			t.Errorf("%s: %q, want %q", test.what, test.got, test.want)
		}
	}
	// The template leaves out the default of our command.
	text := strings.Join(strings.Fields(helpOf(t, "dispatcher")), " ")
	if capacity := value(podOf(installed(t, "default"), "dispatcher").container(), "RESNET18_QUEUE_CAPACITY"); capacity != "" || !strings.Contains(text, "refused with 503 (default 200). [$RESNET18_QUEUE_CAPACITY]") {
		t.Errorf("queue capacity %q by default, want none: it is that of our command, 200", capacity)
	}
	for _, id := range []string{"StatefulSet/nats", "Service/nats-servers", "NetworkPolicy/nats"} {
		if all[id] != nil {
			t.Errorf("%s is there, with NATS elsewhere", id)
		}
	}
}

// TestChartTest checks the pod of helm test, and the notes.
func TestChartTest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values map[string]any
		args   []string
		notes  []string
	}{
		"default": {nil, []string{"status", "http://dispatcher-service:8080", "--once"},
			[]string{"statefulset/dispatcher", "http://127.0.0.1:8080/", "1 to 10 replicas, as our autoscaler decides", "keys.enabled"}},
		"production": {production(t), []string{"status", "https://dispatcher-service:8080", "--once", "--ca=/tls/ca.crt", "--token-file=/tokens/autoscaler.token"},
			[]string{"deployment/dispatcher", "https://127.0.0.1:8080/", "2 to 20 replicas", "resnet18-tokens", "replica-tls"}},
		"unscaled": {scaledBy("none"), []string{"status", "http://dispatcher-service:8080", "--once"}, []string{"3 replicas, which nothing scales"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := chart(chartDir, "photos", valuesFile(t, test.values))
			if err != nil {
				t.Fatal(err)
			}
			all := parse(t, []byte(strings.Join(r.tests, "\n---\n")))
			pod := all["Pod/resnet18cloud-test"].typed.(*corev1.Pod)
			if got := pod.Spec.Containers[0].Args; !slices.Equal(got, test.args) {
				t.Errorf("runs %v, want %v", got, test.args)
			}
			help := helpOf(t, "status")
			for _, arg := range test.args[2:] {
				if flag, _, _ := strings.Cut(arg, "="); !strings.Contains(help, "  "+flag) {
					t.Errorf("status has no %s", flag)
				}
			}
			if c := pod.Spec.Containers[0]; len(c.VolumeMounts) != len(pod.Spec.Volumes) || pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
				t.Errorf("mounts %v of %v, restarts %s", c.VolumeMounts, pod.Spec.Volumes, pod.Spec.RestartPolicy)
			}
			for _, want := range append(test.notes, "namespace photos", "helm test resnet18 -n photos") {
				if !strings.Contains(r.notes, want) {
					t.Errorf("no %q in the notes:\n%s", want, r.notes)
				}
			}
		})
	}
}

// TestPlanFits checks that the values which "loadtest plan" prints are values of the chart.
func TestPlanFits(t *testing.T) {
	t.Parallel()
	plan := exec.Command(help.binary, "loadtest", "plan", "testdata/search.json", "--schedule", "constant:100:1h", "--cpus", "2")
	out, err := plan.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", plan, err, out)
	}
	_, text, ok := strings.Cut(string(out), "# Values of the Helm chart")
	if !ok {
		t.Fatalf("no values in\n%s", out)
	}
	var planned map[string]any
	if err := yaml.Unmarshal([]byte("# "+text), &planned); err != nil {
		t.Fatal(err)
	}
	all := installed(t, "default", planned, scaledBy("hpa"))
	c := podOf(all, "resnet18-app").container()
	if c.Resources.Requests.Cpu().String() != "2" || c.Resources.Limits.Cpu().String() != "2" {
		t.Errorf("a replica of two CPUs has %+v", c.Resources)
	}
	autoscaling := planned["autoscaling"].(map[string]any)
	spec := all["HorizontalPodAutoscaler/resnet18-hpa"].Object["spec"].(map[string]any)
	if spec["minReplicas"] != autoscaling["minReplicas"] || spec["maxReplicas"] != autoscaling["maxReplicas"] {
		t.Errorf("HPA from %v to %v, planned %v", spec["minReplicas"], spec["maxReplicas"], autoscaling)
	}
}
