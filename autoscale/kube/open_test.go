package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// kubeconfig writes a file that leads to a server, with a namespace.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: s, cluster: {server: %q}}],
		contexts: [{name: c, context: {cluster: s, namespace: theirs}}]}`, server)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOpen takes cluster and namespace from the named file; a named namespace has precedence.
func TestOpen(t *testing.T) {
	t.Parallel()
	file := kubeconfig(t, "http://127.0.0.1:1")
	for namespace, want := range map[string]string{"": "theirs/app", "ours": "ours/app"} {
		d, err := Open(Config{Name: "app", Namespace: namespace, Kubeconfig: file})
		if err != nil || d.String() != want {
			t.Errorf("Open with namespace %q: %v, %v, want %s", namespace, d, err, want)
		}
	}
	if _, err := Open(Config{Kubeconfig: file}); err == nil || !strings.Contains(err.Error(), "name of the Deployment is missing") {
		t.Errorf("Open without a Deployment: %v", err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{broken, filepath.Join(t.TempDir(), "none")} {
		if _, err := Open(Config{Name: "app", Kubeconfig: path}); err == nil || !strings.Contains(err.Error(), "read kubeconfig") {
			t.Errorf("Open of %s: %v", filepath.Base(path), err)
		}
	}
	if _, err := Open(Config{Name: "app", Kubeconfig: kubeconfig(t, "http://[::1")}); err == nil || !strings.Contains(err.Error(), "make a client for") {
		t.Errorf("Open with a broken address: %v", err)
	}
}

// TestOpenWithoutACluster checks that the error says what was looked for.
func TestOpenWithoutACluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := Open(Config{Name: "app"}); err == nil || !strings.Contains(err.Error(), "no cluster configured") {
		t.Errorf("Open without a cluster: %v", err)
	}
}

// TestMarkingManyPodsIsQuick checks that the client's own rate limit does not slow it down.
func TestMarkingManyPodsIsQuick(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 60)
	d, err := Open(Config{Name: "app", Namespace: "ns", Kubeconfig: kubeconfig(t, a.server.URL)})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprint("pod", i))
		a.add(names[i], true, "")
	}
	d.lease.set(t.Context(), time.Now().Add(time.Minute), d.identity)
	if err := d.OrderRemoval(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := d.SetReplicas(t.Context(), 1, autoscale.Decision{}); err != nil || a.replicas != 1 || len(a.wrote()) != 61 {
		t.Errorf("SetReplicas = %v, %d replicas", err, a.replicas)
	}
	// At client-go's default, five requests per second after a burst of ten, it would take ten seconds.
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("marking 59 pods took %s", took)
	}
}

// TestEventsFitTheAPI checks its limits: 128 bytes for the instance and 1024 for the note.
func TestEventsFitTheAPI(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 3)
	a.lead()
	a.d.identity = strings.Repeat("i", 300)
	long := autoscale.Decision{}
	for range 100 {
		long.Reasons = append(long.Reasons, autoscale.Reason{Rule: autoscale.RuleSteady})
	}
	if err := a.d.SetReplicas(t.Context(), 4, long); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]int{"reportingInstance": 128, "note": 1024} {
		if got := len(a.events[0][field].(string)); got != want {
			t.Errorf("%s has %d bytes, want all %d that fit", field, got, want)
		}
	}
}
