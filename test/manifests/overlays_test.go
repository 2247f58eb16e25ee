package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// TestPlainFiles checks that the files which the README names contain the objects of the overlay minikube and of the
// components.
func TestPlainFiles(t *testing.T) {
	t.Parallel()
	want := file(t, "dispatcher.yaml")
	maps.Copy(want, file(t, "deployment.yaml"))
	equal(t, "overlays/minikube", overlay(t, "overlays/minikube"), want)
	equal(t, "k8s", overlay(t, "."), want)
	for _, scaler := range []string{"autoscaler", "hpa", "keda"} {
		data, err := composed(t, []string{"overlays/minikube"}, "components/"+scaler)
		if err != nil {
			t.Fatal(err)
		}
		got := parse(t, data)
		for id := range want {
			delete(got, id)
		}
		// Components are for a namespace of their own.
		if o := got["ScaledObject/resnet18-app"]; o != nil {
			trigger := o.Object["spec"].(map[string]any)["triggers"].([]any)[0].(map[string]any)["metadata"].(map[string]any)
			trigger["scalerAddress"] = strings.Replace(trigger["scalerAddress"].(string), ".resnet18cloud.", ".default.", 1)
		}
		equal(t, "components/"+scaler, got, file(t, scaler+".yaml"))
	}
}

func equal(t *testing.T, name string, got, want objects) {
	t.Helper()
	if names(got) != names(want) {
		t.Errorf("%s has %s, the files of k8s/ have %s", name, names(got), names(want))
		return
	}
	for id := range want {
		if diff := cmp.Diff(plain(want[id]), plain(got[id])); diff != "" {
			t.Errorf("%s: %s (-file +rendered):\n%s", name, id, diff)
		}
	}
}

// TestOneScaler checks that one of the three takes the number of replicas, and that two cannot be together.
func TestOneScaler(t *testing.T) {
	t.Parallel()
	scalers := []string{"components/autoscaler", "components/hpa", "components/keda"}
	for i, one := range scalers {
		data, err := composed(t, []string{"overlays/minikube"}, one)
		if err != nil {
			t.Fatalf("%s: %v", one, err)
		}
		if d := parse(t, data)["Deployment/resnet18-app"].typed.(*appsv1.Deployment); d.Spec.Replicas != nil {
			t.Errorf("with %s the Deployment says %d replicas, want none: to apply it again would undo scaling", one, *d.Spec.Replicas)
		}
		for _, other := range scalers[i+1:] {
			if _, err := composed(t, []string{"overlays/minikube"}, one, other); err == nil || !strings.Contains(err.Error(), "/spec/replicas") {
				t.Errorf("%s and %s: error %v, want one about /spec/replicas", one, other, err)
			}
		}
	}
}

// drain is how long dispatchers (--drain-timeout) and replicas work on after SIGTERM.
const drain = 25 * time.Second

// TestProduction checks what production has beyond what every installation has.
func TestProduction(t *testing.T) {
	t.Parallel()
	all := overlay(t, "overlays/production")
	for id, o := range all {
		namespaced := o.GetKind() != "Namespace" && !strings.HasPrefix(o.GetKind(), "ValidatingAdmission")
		if namespaced != (o.GetNamespace() == "resnet18cloud") {
			t.Errorf("%s is in namespace %q", id, o.GetNamespace())
		}
	}
	if l := all["Namespace/resnet18cloud"].GetLabels(); l["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("the namespace has labels %v, want it to enforce restricted pod security", l)
	}
	budgets := make(map[string]bool)
	for _, b := range of[*policyv1.PodDisruptionBudget](all) {
		for _, name := range matching(t, all, b.Spec.Selector) {
			budgets[name] = b.Spec.MaxUnavailable != nil && b.Spec.MaxUnavailable.IntValue() == 1
		}
	}
	counts := map[string]int32{"dispatcher": 2, "autoscaler": 2, "nats": 3}
	for _, w := range workloads(all) {
		if want, ok := counts[w.name]; ok != (w.replicas != nil) || ok && *w.replicas != want {
			t.Errorf("%s has %v replicas, want %d, or none where an autoscaler sets them", w.name, w.replicas, want)
		}
		if !budgets[w.name] {
			t.Error(at(w, "no PodDisruptionBudget with maxUnavailable 1"))
		}
		if !spread(w) {
			t.Error(at(w, "its pods may all be on one node: affinity %+v", w.pod.Spec.Affinity))
		}
		if zones := w.pod.Spec.TopologySpreadConstraints; w.name != "autoscaler" && (len(zones) == 0 || zones[0].TopologyKey != "topology.kubernetes.io/zone") {
			t.Error(at(w, "not spread over zones: %+v", zones))
		}
		c := w.container()
		if image := c.Image; w.name != "nats" && !strings.Contains(image, "@sha256:") {
			t.Error(at(w, "image %s has no digest", image))
		}
		if c.Resources.Requests.StorageEphemeral().IsZero() || c.Resources.Limits.StorageEphemeral().IsZero() {
			t.Error(at(w, "no ephemeral storage in %+v", c.Resources))
		}
		if w.name != "nats" && value(c, "RESNET18_LOG_FORMAT") != "json" {
			t.Error(at(w, "logs are not JSON"))
		}
		if w.name == "dispatcher" || w.name == "resnet18-app" {
			if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
				t.Error(at(w, "no preStop: requests are refused while others still send them"))
			} else if grace, least := time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds)*time.Second, drain+time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second; grace <= least {
				t.Error(at(w, "is killed after %s, it takes %s to stop", grace, least))
			}
		}
	}
	d := all["Deployment/dispatcher"].typed.(*appsv1.Deployment).Spec.Template.Spec.Containers[0]
	servers := all["StatefulSet/nats"].typed.(*appsv1.StatefulSet).Spec
	if all["Service/"+servers.ServiceName] == nil || value(d, "RESNET18_NATS_REPLICAS") != fmt.Sprint(*servers.Replicas) {
		t.Errorf("%d servers of Service %s, dispatchers use %s", *servers.Replicas, servers.ServiceName, value(d, "RESNET18_NATS_REPLICAS"))
	}
	config := all[configMap(all)].typed.(*corev1.ConfigMap).Data["nats.conf"]
	var urls []string
	for i := range *servers.Replicas {
		host := fmt.Sprintf("nats-%d.%s", i, servers.ServiceName)
		urls = append(urls, "nats://dispatcher:$(NATS_PASSWORD)@"+host+":4222")
		if !strings.Contains(config, "nats://"+host+":6222") {
			t.Errorf("nats.conf has no route to %s", host)
		}
	}
	if got, want := value(d, "RESNET18_NATS"), strings.Join(urls, ","); got != want {
		t.Errorf("dispatchers use NATS %s, want %s", got, want)
	}
}

func spread(w workload) bool {
	if w.pod.Spec.Affinity == nil || w.pod.Spec.Affinity.PodAntiAffinity == nil {
		return false
	}
	a := w.pod.Spec.Affinity.PodAntiAffinity
	terms := a.RequiredDuringSchedulingIgnoredDuringExecution
	for _, p := range a.PreferredDuringSchedulingIgnoredDuringExecution {
		terms = append(terms, p.PodAffinityTerm)
	}
	return len(terms) == 1 && terms[0].TopologyKey == "kubernetes.io/hostname" && terms[0].LabelSelector.MatchLabels["app"] == w.name
}

func value(c corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// configMap returns the id of NATS' ConfigMap, which has a hash.
func configMap(all objects) string {
	for id := range all {
		if strings.HasPrefix(id, "ConfigMap/nats") {
			return id
		}
	}
	return ""
}

// TestNATSVersion checks that the servers have the version that is tested with the dispatchers.
func TestNATSVersion(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	tested := regexp.MustCompile(`nats-server/v2 v(\S+)`).FindSubmatch(data)
	image := overlay(t, "overlays/production")["StatefulSet/nats"].typed.(*appsv1.StatefulSet).Spec.Template.Spec.Containers[0].Image
	if want := "nats:" + string(tested[1]) + "-alpine"; image != want {
		t.Errorf("image %s, go.mod has %s", image, want)
	}
}

// TestGuard checks that the policy which keeps the autoscaler to the replicas is for its account, in its namespace.
func TestGuard(t *testing.T) {
	t.Parallel()
	all := overlay(t, "overlays/production")
	binding := all["ValidatingAdmissionPolicyBinding/autoscaler-of-resnet18cloud"].Object["spec"].(map[string]any)
	selector := binding["matchResources"].(map[string]any)["namespaceSelector"].(map[string]any)["matchLabels"].(map[string]any)
	account := all["ServiceAccount/autoscaler"]
	if selector["kubernetes.io/metadata.name"] != account.GetNamespace() {
		t.Errorf("the policy holds in %v, the autoscaler is in %s", selector, account.GetNamespace())
	}
	policy := all["ValidatingAdmissionPolicy/autoscaler-of-resnet18cloud"]
	if binding["policyName"] != policy.GetName() {
		t.Errorf("the binding is of %v", binding["policyName"])
	}
	conditions := policy.Object["spec"].(map[string]any)["matchConditions"].([]any)
	if expression := conditions[0].(map[string]any)["expression"].(string); !strings.HasSuffix(expression, "':"+account.GetName()+"'") {
		t.Errorf("the policy is for %s, the account is %s", expression, account.GetName())
	}
}
