//go:build kubernetes

package kubernetes

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
)

// loadPerSecond is what pods have to bear while parts of the system go away.
var loadPerSecond = flag.Int64("load", 20, "images per second sent to pods")

// testProduction installs the chart as docs/kubernetes.md says, with keys, TLS and NATS, and disturbs it.
func testProduction(t *testing.T, c *cluster) {
	s := installProduction(t, c)
	for _, part := range []struct {
		name string
		test func(*testing.T)
		long bool
	}{
		{"nodes are drained", s.drain, false},
		{"pods are killed", s.killPods, false},
		{"a NATS server is lost", s.loseNATS, false},
		{"rollouts", s.rollouts, true}, // three minutes; the upgrade does the same, without NATS
		{"upgrade", s.upgrade, false},
	} {
		t.Run(part.name, func(t *testing.T) {
			if part.long && testing.Short() {
				t.Skip("left out with -short")
			}
			l := s.startLoad(t)
			begun := time.Now()
			part.test(t)
			s.settle(t)
			t.Logf("everything was ready again after %s", time.Since(begun).Round(time.Second))
			l.end(t)
		})
	}
}

// installation is a release of the chart.
type installation struct {
	*cluster
	values string        // file of values
	client client.Client // with a key, outside the cluster
}

// installProduction makes the Secrets, installs the chart and waits until everything is ready.
func installProduction(t *testing.T, c *cluster) *installation {
	t.Helper()
	s := &installation{cluster: c.in(production)}
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	s.kubectl(t, "create", "namespace", production)
	s.kubectl(t, "label", "namespace", production, "pod-security.kubernetes.io/enforce=restricted")
	s.makeSecrets(t)
	s.values = writeFile(t, filepath.Join(t.TempDir(), "mine.yaml"), `
images:
  dispatcher: {repository: dispatcher, tag: latest, digest: ""}
  replica: {repository: resnet18-app, tag: latest, digest: ""}
# Three nodes on one machine: two of them have room for everything.
resources: {requests: {cpu: 300m, memory: 320Mi}}
dispatcher: {resources: {requests: {cpu: 200m, memory: 256Mi}}}
autoscaling: {maxReplicas: 3}
`)
	s.timeStart(t, s.client, func() { s.helm(t, "install", "resnet18") })
	s.settle(t)
	run(t, filepath.Join(s.bin, "helm"), "test", "resnet18", "--namespace="+s.namespace, "--kubeconfig="+s.writeKubeconfig(t, "admin", adminToken))
	return s
}

// makeSecrets makes keys and certificates, and the client that uses them.
func (s *installation) makeSecrets(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{"shop", "--token-file", file("shop.token")},
		{"dispatcher", "--token-file", file("dispatcher.token")},
		{"autoscaler", "--scopes", "admin", "--token-file", file("autoscaler.token")},
	} {
		line, err := exec.CommandContext(t.Context(), s.binary, append([]string{"keys", "new"}, args...)...).Output()
		if err != nil {
			t.Fatalf("keys new %s: %v", args, err)
		}
		appendFile(t, file("keys.txt"), line)
	}
	s.kubectl(t, "create", "secret", "generic", "resnet18-keys", "--from-file="+file("keys.txt"))
	s.kubectl(t, "create", "secret", "generic", "resnet18-tokens", "--from-file="+file("dispatcher.token"), "--from-file="+file("autoscaler.token"))
	s.kubectl(t, "create", "secret", "generic", "nats-credentials", "--from-literal=password="+rand.Text())

	authority := tlstest.NewAuthority(t)
	front := "dispatcher-service." + production
	for secret, names := range map[string][]string{
		"dispatcher-tls": {"dispatcher-service", "dispatchers", front},
		"replica-tls":    {"resnet18-replicas", "resnet18-service"},
	} {
		cert := authority.ForNames(t, names...)
		s.kubectl(t, "create", "secret", "generic", secret, "--from-file=tls.crt="+cert.Cert, "--from-file=tls.key="+cert.Key, "--from-file=ca.crt="+cert.CA)
	}
	s.client = client.Client{BaseURL: "https://" + front + ":8080", Token: strings.TrimSpace(readFile(t, file("shop.token"))),
		HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}, MaxIdleConnsPerHost: 100}}}
}

func appendFile(t *testing.T, path string, data []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// helm runs a command on the chart, with the values of production and ours, and returns its output.
func (s *installation) helm(t *testing.T, args ...string) string {
	t.Helper()
	chart := filepath.Join(testutil.Root(t), "charts", "resnet18cloud")
	return run(t, filepath.Join(s.bin, "helm"), append(args, chart, "-f", filepath.Join(chart, "values-production.yaml"), "-f", s.values,
		"--namespace="+s.namespace, "--kubeconfig="+s.writeKubeconfig(t, "admin", adminToken))...)
}

func (s *installation) startLoad(t *testing.T) *load {
	t.Helper()
	l := &load{client: s.client, tolerant: true}
	l.start(t, *loadPerSecond)
	return l
}

// settle waits until all parts are as they should be.
func (s *installation) settle(t *testing.T) {
	t.Helper()
	for _, part := range []string{"statefulset/nats", "deployment/dispatcher", "deployment/resnet18-app", "deployment/autoscaler"} {
		s.kubectl(t, "rollout", "status", "--timeout=3m", part)
	}
}

// drain takes each node away, or with -short one, and gives it back. The budgets for disruptions decide what may leave when.
func (s *installation) drain(t *testing.T) {
	nodes := s.nodes
	if testing.Short() {
		nodes = nodes[:1]
	}
	for _, n := range nodes {
		s.kubectl(t, "drain", n.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=3m")
		s.kubectl(t, "uncordon", n.name)
		s.settle(t)
	}
}

// killPods removes a pod of each part without notice, and kills the process of another.
func (s *installation) killPods(t *testing.T) {
	for _, app := range []string{"dispatcher", replicas, "nats", "autoscaler"} {
		s.kubectl(t, "delete", "pod", s.readyPod(t, app), "--force", "--grace-period=0")
		s.settle(t)
		s.killProcess(t, s.readyPod(t, app))
		s.settle(t)
	}
}

// killProcess kills the pod's process, and waits until its container was started again.
func (s *installation) killProcess(t *testing.T, name string) {
	t.Helper()
	restarts := s.restarts(t, name)
	if err := syscall.Kill(s.pid(t, name), syscall.SIGKILL); err != nil {
		t.Fatalf("kill the process of %s: %v", name, err)
	}
	eventually(t, timeout, name+" to be started again", func() error {
		if s.restarts(t, name) == restarts {
			return errors.New("it is not")
		}
		return nil
	})
}

func (s *installation) restarts(t *testing.T, name string) int32 {
	t.Helper()
	pod, err := get[corev1.Pod](t.Context(), s.cluster, "Pod", name)
	if err != nil {
		t.Fatal(err)
	}
	return pod.Status.ContainerStatuses[0].RestartCount
}

func (s *installation) readyPod(t *testing.T, app string) string {
	t.Helper()
	for _, pod := range s.podsOf(t, app) {
		if pod.DeletionTimestamp == nil && isReady(&pod) {
			return pod.Name
		}
	}
	t.Fatalf("no pod of %s is ready", app)
	return ""
}

// loseNATS freezes the process of a NATS server, as if its node were lost, for 20 seconds.
func (s *installation) loseNATS(t *testing.T) {
	pid := s.pid(t, "nats-0")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	select {
	case <-time.After(20 * time.Second): // the disturbance itself, not a wait for something
	case <-t.Context().Done():
	}
}

// rollouts replaces the pods of one part after the other.
func (s *installation) rollouts(t *testing.T) {
	for _, part := range []string{"deployment/dispatcher", "deployment/" + replicas, "deployment/autoscaler", "statefulset/nats"} {
		s.kubectl(t, "rollout", "restart", part)
		s.settle(t)
	}
}

// upgrade changes dispatchers, replicas and autoscalers at once by a new revision of the release.
func (s *installation) upgrade(t *testing.T) {
	appendFile(t, s.values, []byte("env:\n  dispatcher: {RESNET18_LOG_LEVEL: debug}\n  replica: {RESNET18_LOG_LEVEL: debug}\n  autoscaler: {RESNET18_LOG_LEVEL: debug}\n"))
	s.helm(t, "upgrade", "resnet18")
}
