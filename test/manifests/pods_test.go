package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// each runs a test for every shape.
func each(t *testing.T, test func(*testing.T, objects)) {
	t.Parallel()
	for name, all := range shapes(t) {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, all) })
	}
}

// TestContainers checks probes, limits and the restricted pod security standard.
func TestContainers(t *testing.T) {
	each(t, func(t *testing.T, all objects) {
		for _, w := range workloads(all) {
			if len(w.pod.Spec.Containers) != 1 || len(w.pod.Spec.InitContainers) != 0 {
				t.Error(at(w, "want one container"))
			}
			c := w.container()
			for kind, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
				if kind == "startup" && w.name == "resnet18-app" {
					if probe != nil {
						t.Error(at(w, "a startup probe: the pod is ready later"))
					}
					continue
				}
				if probe == nil || probe.HTTPGet == nil || !strings.HasPrefix(probe.HTTPGet.Path, "/health") || !hasPort(c, probe.HTTPGet.Port.StrVal) {
					t.Error(at(w, "%s probe %+v", kind, probe))
				}
			}
			r := c.Resources
			if r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() || r.Requests.Memory().Cmp(*r.Limits.Memory()) > 0 {
				t.Error(at(w, "resources %+v", r))
			}
			// A replica works on as many images at a time as its limit has CPUs.
			if w.name == "resnet18-app" == r.Limits.Cpu().IsZero() {
				t.Error(at(w, "CPU limit %s: replicas have one, nothing else is throttled", r.Limits.Cpu()))
			}
			mib, err := strconv.ParseInt(strings.TrimSuffix(value(c, "GOMEMLIMIT"), "MiB"), 10, 64)
			if most := r.Limits.Memory().Value(); err != nil || mib<<20 >= most || mib<<20 < most*8/10 {
				t.Error(at(w, "GOMEMLIMIT %q, want somewhat less than %d bytes", value(c, "GOMEMLIMIT"), most))
			}
			if s := w.pod.Spec.SecurityContext; s == nil || !*s.RunAsNonRoot || *s.RunAsUser < 10000 || *s.RunAsGroup < 10000 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Error(at(w, "pod security context %+v", s))
			}
			if s := c.SecurityContext; s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) != 0 {
				t.Error(at(w, "security context %+v", s))
			}
			if w.pod.Spec.HostNetwork || w.pod.Spec.HostPID || w.pod.Spec.HostIPC {
				t.Error(at(w, "it shares namespaces with its node"))
			}
			// Only what asks the API server has a token for it.
			if scales := w.name == "autoscaler" || w.name == "scaling-policy"; scales != (w.pod.Spec.AutomountServiceAccountToken == nil) {
				t.Error(at(w, "automountServiceAccountToken %v", w.pod.Spec.AutomountServiceAccountToken))
			}
		}
	})
}

func hasPort(c corev1.Container, name string) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
}

// TestSelectors checks that everything that selects pods selects those that it is for.
func TestSelectors(t *testing.T) {
	each(t, func(t *testing.T, all objects) {
		selects := func(what string, selector *metav1.LabelSelector, want string) {
			t.Helper()
			if got := matching(t, all, selector); !slices.Equal(got, []string{want}) {
				t.Errorf("%s selects %v, want %s", what, got, want)
			}
		}
		for _, w := range workloads(all) {
			selects(w.name, w.selector, w.name)
			for _, c := range w.pod.Spec.TopologySpreadConstraints {
				selects(w.name+"'s spread", c.LabelSelector, w.name)
			}
		}
		for _, b := range of[*policyv1.PodDisruptionBudget](all) {
			selects("budget "+b.Name, b.Spec.Selector, b.Name)
		}
		for _, s := range of[*corev1.Service](all) {
			names := matching(t, all, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
			if len(names) != 1 || len(s.Spec.Selector) == 0 {
				t.Errorf("Service %s selects %v", s.Name, names)
				continue
			}
			c := podOf(all, names[0]).container()
			for _, p := range s.Spec.Ports {
				if !slices.ContainsFunc(c.Ports, func(have corev1.ContainerPort) bool {
					return have.Name == p.TargetPort.StrVal && have.ContainerPort == p.Port
				}) {
					t.Errorf("Service %s leads to port %v of %+v", s.Name, p.TargetPort, c.Ports)
				}
			}
		}
		for _, s := range of[*appsv1.StatefulSet](all) {
			if all["Service/"+s.Spec.ServiceName] == nil {
				t.Errorf("StatefulSet %s names the Service %s, which is not there", s.Name, s.Spec.ServiceName)
			}
		}
		for _, h := range of[*autoscalingv2.HorizontalPodAutoscaler](all) {
			if all[h.Spec.ScaleTargetRef.Kind+"/"+h.Spec.ScaleTargetRef.Name] == nil {
				t.Errorf("HPA %s scales %+v", h.Name, h.Spec.ScaleTargetRef)
			}
		}
		for _, b := range of[*rbacv1.RoleBinding](all) {
			if all["Role/"+b.RoleRef.Name] == nil || all["ServiceAccount/"+b.Subjects[0].Name] == nil {
				t.Errorf("RoleBinding %s joins %+v and %+v", b.Name, b.RoleRef, b.Subjects)
			}
		}
		// Names in URLs are Services.
		for _, w := range workloads(all) {
			for _, e := range w.container().Env {
				if m := regexp.MustCompile(`^(?:dns\+)?(?:https?|nats)://([^:]+):(\d+)$`).FindStringSubmatch(e.Value); m != nil {
					s := all["Service/"+m[1]]
					if s == nil || fmt.Sprint(s.typed.(*corev1.Service).Spec.Ports[0].Port) != m[2] {
						t.Error(at(w, "%s=%s is no Service", e.Name, e.Value))
					} else if headless := s.typed.(*corev1.Service).Spec.ClusterIP == "None"; headless != strings.HasPrefix(e.Value, "dns+") {
						t.Error(at(w, "%s=%s: dns+ and headless Services go together", e.Name, e.Value))
					}
				}
			}
		}
	})
}

func podOf(all objects, name string) workload {
	for _, w := range workloads(all) {
		if w.name == name {
			return w
		}
	}
	return workload{}
}

// TestReferences checks that everything mounted is there, or that docs/kubernetes.md says how to make it.
func TestReferences(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, all objects) {
		for _, w := range workloads(all) {
			have := make(map[string]bool)
			for _, c := range w.claims {
				have[c.Name] = true
			}
			for _, v := range w.pod.Spec.Volumes {
				have[v.Name] = true
				switch {
				case v.Secret != nil:
					told(t, w, string(doc), v.Secret.SecretName)
				case v.ConfigMap != nil:
					if all["ConfigMap/"+v.ConfigMap.Name] == nil {
						t.Error(at(w, "there is no ConfigMap %s", v.ConfigMap.Name))
					}
				case v.EmptyDir == nil:
					t.Error(at(w, "volume %+v", v))
				}
			}
			var folders []string
			for _, m := range w.container().VolumeMounts {
				if !have[m.Name] {
					t.Error(at(w, "mounts %s, which is no volume", m.Name))
				}
				delete(have, m.Name)
				folders = append(folders, m.MountPath)
			}
			if len(have) > 0 {
				t.Error(at(w, "does not mount %v", have))
			}
			var names []string
			for _, e := range w.container().Env {
				// The kubelet replaces only names that come before.
				for _, m := range reference.FindAllStringSubmatch(e.Value, -1) {
					if !slices.Contains(names, m[1]) {
						t.Error(at(w, "%s=%s: there is no %s before it", e.Name, e.Value, m[1]))
					}
				}
				names = append(names, e.Name)
				if strings.HasPrefix(e.Value, "/") && !slices.ContainsFunc(folders, func(f string) bool { return e.Value == f || strings.HasPrefix(e.Value, f+"/") }) {
					t.Error(at(w, "%s=%s is not mounted", e.Name, e.Value))
				}
				switch {
				case e.ValueFrom == nil:
				case e.ValueFrom.SecretKeyRef != nil:
					told(t, w, string(doc), e.ValueFrom.SecretKeyRef.Name)
				case e.ValueFrom.FieldRef == nil:
					t.Error(at(w, "%s: unexpected reference", e.Name))
				}
			}
			if account := w.pod.Spec.ServiceAccountName; account != "" && all["ServiceAccount/"+account] == nil {
				t.Error(at(w, "there is no account %s", account))
			}
		}
	})
}

// reference is the name of another variable in the value of one.
var reference = regexp.MustCompile(`\$\(([A-Z0-9_]+)\)`)

// told checks that the docs say how to make a Secret.
func told(t *testing.T, w workload, doc, secret string) {
	t.Helper()
	if !strings.Contains(doc, "create secret generic "+secret+" ") {
		t.Error(at(w, "docs/kubernetes.md does not say how to make the Secret %s", secret))
	}
}

// TestOptions checks that our command has each option that is set, under the command that the container runs.
func TestOptions(t *testing.T) {
	each(t, func(t *testing.T, all objects) {
		for _, w := range workloads(all) {
			c := w.container()
			if w.name == "nats" {
				continue
			}
			if len(c.Args) != 1 || len(c.Command) != 0 {
				t.Error(at(w, "runs %v %v", c.Command, c.Args))
				continue
			}
			help := helpOf(t, c.Args[0])
			seen := make(map[string]bool)
			for _, e := range c.Env {
				if strings.HasPrefix(e.Name, "RESNET18_") && !strings.Contains(help, "[$"+e.Name+"]") {
					t.Error(at(w, "%s has no option of %s", c.Args[0], e.Name))
				}
				if seen[e.Name] {
					t.Error(at(w, "sets %s twice", e.Name))
				}
				seen[e.Name] = true
			}
		}
	})
}

// help are the help texts of our commands, from the command itself.
var help struct {
	sync.Mutex
	binary string
	texts  map[string]string
}

func helpOf(t *testing.T, command string) string {
	t.Helper()
	help.Lock()
	defer help.Unlock()
	if text, ok := help.texts[command]; ok {
		return text
	}
	args := []string{command, "--help"}
	if command == "autoscaler" {
		args = []string{command, "run", "--help"}
	}
	out, err := exec.Command(help.binary, args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "[$RESNET18_LOG_FORMAT]") {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	help.texts[command] = string(out)
	return help.texts[command]
}

// TestMain builds our command.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if err := monitoringv1.AddToScheme(scheme.Scheme); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		dir, err := os.MkdirTemp("", "manifests")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		help.binary, help.texts = filepath.Join(dir, "resnet18cloud"), make(map[string]string)
		build := exec.Command("go", "build", "-o", help.binary, "./cmd/resnet18cloud")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
			return 1
		}
		return m.Run()
	}())
}
