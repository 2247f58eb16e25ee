//go:build kubernetes

package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// replicas is the Deployment under test.
const replicas = "resnet18-app"

// startSystem starts a cluster with the manifests applied, and waits until everything is ready.
func startSystem(t *testing.T) *cluster {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "resnet18cloud")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/resnet18cloud")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	c := startCluster(t)
	c.prepare(t)
	c.serveDNS(t, nameServer)
	c.kubelet = startKubelet(t, c, binary, "RESNET18_MODEL="+writeWeights(t, binary))
	c.apply(t, "dispatcher.yaml", "deployment.yaml")
	c.awaitReplicas(t, 3)
	eventually(t, timeout, "the dispatcher to be ready", func() error {
		set, err := get[appsv1.StatefulSet](t.Context(), c, "StatefulSet", "dispatcher")
		if err == nil && set.Status.ReadyReplicas != 1 {
			err = fmt.Errorf("status %+v", set.Status)
		}
		return err
	})
	return c
}

// awaitReplicas waits until n replicas are ready and wanted.
func (c *cluster) awaitReplicas(t *testing.T, n int32) {
	t.Helper()
	eventually(t, timeout, fmt.Sprintf("%d ready replicas", n), func() error {
		d, err := get[appsv1.Deployment](t.Context(), c, "Deployment", replicas)
		if err == nil && (*d.Spec.Replicas != n || d.Status.ReadyReplicas != n || d.Status.Replicas != n) {
			err = fmt.Errorf("%d wanted, %d there, %d ready; conditions %+v", *d.Spec.Replicas, d.Status.Replicas, d.Status.ReadyReplicas, d.Status.Conditions)
		}
		return err
	})
}

// writeWeights writes real weights if MODEL_MIRROR has some, and random ones otherwise.
func writeWeights(t *testing.T, binary string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resnet18.safetensors")
	if os.Getenv("MODEL_MIRROR") != "" {
		pull := exec.Command(binary, "model", "pull", "--out", path)
		pull.Dir = testutil.Root(t) // the Makefile's mirror is relative to it
		if out, err := pull.CombinedOutput(); err != nil {
			t.Fatalf("model pull: %v\n%s", err, out)
		}
		return path
	}
	if err := harness.WriteRandomWeights(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKubernetes runs one part after the other on one cluster.
func TestKubernetes(t *testing.T) {
	c := startSystem(t)
	parts := []struct {
		name string
		test func(*testing.T, *cluster)
	}{
		{"manifests serve", testManifestsServe},
		{"one writer", testOneWriter},
		{"idle pods go first", testIdleGoFirst},
		{"an HPA is refused", testHPAIsRefused},
		{"errors say what to do", testErrorsSayWhatToDo},
		{"rollout", testRollout},
		{"autoscaler", testAutoscaler},
		{"KEDA's HPA follows our policy", testKEDA},
		{"nothing is lost", testNothingIsLost},
		{"the API server hangs", testServerHangs},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) { part.test(t, c) })
	}
}
