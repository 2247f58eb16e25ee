//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestPods runs the system in containers, on three real nodes: the images are built, kubectl and Helm install them as
// docs/kubernetes.md says, and pods, nodes and servers go away under load.
func TestPods(t *testing.T) {
	needNodes(t)
	bridge(t)
	binary, archives := buildImages(t)
	c := startWholeCluster(t)
	c.binary = binary
	c.serveDNS(t, nameServer) // for the test itself
	c.serveDNS(t, bridgeAddress)
	c.startNodes(t, 3, archives)
	c.provideVolumes(t)
	t.Run("minikube", func(t *testing.T) { testMinikube(t, c) })
	t.Run("production", func(t *testing.T) { testProduction(t, c) })
}

// provideVolumes creates volumes, on each node, for whoever claims one.
func (c *cluster) provideVolumes(t *testing.T) {
	t.Helper()
	var text strings.Builder
	text.WriteString(`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`)
	for _, n := range c.nodes {
		for i := range 3 {
			dir := filepath.Join(n.dir, fmt.Sprint("volume", i))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&text, `---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s-%[2]d}
spec:
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  local: {path: %[3]s}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%[1]s]}]}]}
`, n.name, i, dir)
		}
	}
	c.kubectl(t, "apply", "--server-side", "-f", writeFile(t, filepath.Join(c.dir, "volumes.yaml"), text.String()))
}

// kubectl runs kubectl as an administrator, in the cluster's namespace, and returns its output.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig=" + c.writeKubeconfig(t, "admin", adminToken),
		"--cache-dir=" + filepath.Join(c.dir, "kubectl"), "--namespace=" + c.namespace}, args...)...)
}

// testMinikube deploys what the plain files have, and replaces replicas under load.
func testMinikube(t *testing.T, c *cluster) {
	root := testutil.Root(t)
	label(t, c)
	c.timeStart(t, client.Client{BaseURL: c.dispatcherURL(t)}, func() {
		c.kubectl(t, "apply", "-k", filepath.Join(root, "k8s/overlays/minikube"))
	})
	c.awaitReplicas(t, 3)
	l := startLoad(t, c, *loadPerSecond)
	c.kubectl(t, "rollout", "restart", "deployment/"+replicas)
	c.kubectl(t, "rollout", "status", "--timeout=3m", "deployment/"+replicas)
	l.end(t)
	c.kubectl(t, "delete", "-k", filepath.Join(root, "k8s/overlays/minikube"))
}

// Most that a start may take. What is aimed at is in the docs; this machine does other things too.
const (
	mostToFirstAnswer = 45 * time.Second // aimed at: 15 s
	mostToReady       = 6 * time.Second  // aimed at: 2 s
)

// timeStart deploys everything and measures how long that takes to the first answer, what pods take of it, and how long replicas
// take from their containers' start until they are ready.
func (c *cluster) timeStart(t *testing.T, sender client.Client, deploy func()) {
	t.Helper()
	watch := c.watchReady(t, "")
	begun := time.Now()
	deploy()
	eventually(t, timeout, "an answer", func() error {
		ticket, err := sender.Submit(t.Context(), resnet18cloud.Image{Name: "first.jpg", Bytes: picture(t)}, client.Options{})
		if err != nil {
			return err
		}
		outcome, err := sender.Wait(t.Context(), ticket.RequestID)
		if err == nil && outcome.Status != resnet18cloud.StatusCompleted {
			err = fmt.Errorf("%s: %w", outcome.Status, outcome.Err)
		}
		return err
	})
	first := time.Since(begun)
	t.Logf("from nothing to the first answer: %s", first.Round(10*time.Millisecond))
	if first > mostToFirstAnswer {
		t.Errorf("from nothing to the first answer: %s, want at most %s", first, mostToFirstAnswer)
	}
	c.kubectl(t, "rollout", "status", "--timeout=3m", "deployment/"+replicas)
	ready := watch()
	for _, pod := range slices.SortedFunc(maps.Keys(ready), func(a, b string) int { return ready[a].Compare(ready[b]) }) {
		started := c.containerStart(t, pod)
		took := ready[pod].Sub(started)
		t.Logf("%s: container started after %s, ready %s later", pod, started.Sub(begun).Round(10*time.Millisecond), took.Round(10*time.Millisecond))
		if took > mostToReady && strings.HasPrefix(pod, replicas) {
			t.Errorf("%s: ready %s after its container's start, want at most %s", pod, took, mostToReady)
		}
	}
}

func label(t *testing.T, c *cluster) {
	t.Helper()
	eventually(t, timeout, "the namespace", func() error {
		_, err := get[corev1.ServiceAccount](t.Context(), c, "ServiceAccount", "default")
		return err
	})
	c.kubectl(t, "label", "namespace", c.namespace, "pod-security.kubernetes.io/enforce=restricted")
}

// watchReady notes when pods become ready. The returned function ends that and returns the times.
func (c *cluster) watchReady(t *testing.T, labels string) func() map[string]time.Time {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watcher, err := c.of("Pod").Watch(ctx, metav1.ListOptions{LabelSelector: labels})
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]time.Time)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range watcher.ResultChan() {
			object, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				return // the watch was ended
			}
			pod := new(corev1.Pod)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, pod); err != nil {
				t.Error("watch pods:", err)
				return
			}
			if _, seen := found[pod.Name]; !seen && isReady(pod) {
				found[pod.Name] = time.Now()
			}
		}
	}()
	end := func() map[string]time.Time { cancel(); watcher.Stop(); <-done; return found }
	t.Cleanup(func() { end() })
	return end
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// containerStart returns when the process of the pod's container began, from the kernel, whose clock ticks a hundred times
// a second; Kubernetes notes whole seconds.
func (c *cluster) containerStart(t *testing.T, pod string) time.Time {
	t.Helper()
	var uptime float64
	if _, err := fmt.Sscan(readFile(t, "/proc/uptime"), &uptime); err != nil {
		t.Fatal(err)
	}
	stat := readFile(t, fmt.Sprintf("/proc/%d/stat", c.pid(t, pod)))
	_, fields, _ := strings.Cut(stat, ") ") // the name before may have spaces
	ticks, err := strconv.ParseFloat(strings.Fields(fields)[22-3], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Now().Add(-time.Duration((uptime - ticks/100) * float64(time.Second)))
}

// pid returns the process of the pod's container.
func (c *cluster) pid(t *testing.T, name string) int {
	t.Helper()
	pod, err := get[corev1.Pod](t.Context(), c, "Pod", name)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	for _, n := range c.nodes {
		if n.name != pod.Spec.NodeName {
			continue
		}
		for line := range strings.Lines(n.ctr(t, "tasks", "list")) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == id {
				pid, err := strconv.Atoi(fields[1])
				if err != nil {
					t.Fatal(err)
				}
				return pid
			}
		}
	}
	t.Fatalf("no container %s of pod %s", id, name)
	return 0
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
