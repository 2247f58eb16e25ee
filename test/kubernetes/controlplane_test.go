//go:build kubernetes

package kubernetes

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

const (
	namespace  = "default"
	adminToken = "admin-of-the-test"
	etcdURL    = "http://127.0.0.1:2379"
)

// cluster is a running control plane.
type cluster struct {
	bin       string // folder of Kubernetes' programs
	binary    string // our program
	dir       string
	url       string       // of the API server
	config    *rest.Config // an administrator's
	client    dynamic.Interface
	namespace string

	apiServer *exec.Cmd
	kubelet   *kubelet // the stand-in
	nodes     []*node  // or real ones
}

// startCluster starts etcd, API server and controller manager, and stops them at the end of the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	return startControlPlane(t, "127.0.0.1", []string{"--endpoint-reconciler-type=none"}, []string{"--controllers=deployment-controller,replicaset-controller,statefulset-controller," +
		"endpointslice-controller,disruption-controller,horizontal-pod-autoscaler-controller,serviceaccount-controller," +
		"garbage-collector-controller", "--horizontal-pod-autoscaler-sync-period=1s"})
}

// startWholeCluster starts the API server where nodes and pods reach it, all controllers, and the scheduler.
func startWholeCluster(t *testing.T) *cluster {
	t.Helper()
	c := startControlPlane(t, bridgeAddress, nil, nil)
	start(t, "kube-scheduler", exec.Command(filepath.Join(c.bin, "kube-scheduler"), "--kubeconfig="+c.writeKubeconfig(t, "admin", adminToken),
		"--secure-port=0", "--leader-elect=false"))
	return c
}

func startControlPlane(t *testing.T, address string, serverArgs, managerArgs []string) *cluster {
	t.Helper()
	bin := os.Getenv("KUBERNETES_BIN")
	if bin == "" {
		t.Fatal("KUBERNETES_BIN does not name the folder of etcd, kube-apiserver and kube-controller-manager: run make kubernetes")
	}
	dir := t.TempDir()
	key := writeKey(t, filepath.Join(dir, "service-account.key"))
	tokens := writeFile(t, filepath.Join(dir, "tokens.csv"), adminToken+`,admin,admin,"system:masters"`+"\n")
	start(t, "etcd", exec.Command(filepath.Join(bin, "etcd"), "--data-dir", filepath.Join(dir, "etcd"), "--log-level=error",
		"--unsafe-no-fsync", "--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL, "--listen-peer-urls=http://127.0.0.1:2380"))
	server := start(t, "kube-apiserver", exec.Command(filepath.Join(bin, "kube-apiserver"), append([]string{"--etcd-servers=" + etcdURL,
		"--cert-dir=" + filepath.Join(dir, "certs"), "--bind-address=" + address, "--advertise-address=" + address,
		"--service-cluster-ip-range=" + servicesCIDR, "--token-auth-file=" + tokens,
		"--authorization-mode=RBAC", "--enable-aggregator-routing", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key}, serverArgs...)...))
	url := "https://" + address + ":6443"
	c := &cluster{bin: bin, dir: dir, url: url, namespace: namespace, apiServer: server, config: &rest.Config{Host: url, BearerToken: adminToken,
		QPS: 200, Burst: 400, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}}
	c.awaitReady(t)
	var err error
	if c.client, err = dynamic.NewForConfig(c.config); err != nil {
		t.Fatal(err)
	}
	kubeconfig := c.writeKubeconfig(t, "admin", adminToken)
	start(t, "kube-controller-manager", exec.Command(filepath.Join(bin, "kube-controller-manager"), append([]string{"--kubeconfig=" + kubeconfig,
		"--secure-port=0", "--leader-elect=false", "--root-ca-file=" + authorityOf(t, filepath.Join(dir, "certs", "apiserver.crt"))}, managerArgs...)...))
	return c
}

func (c *cluster) awaitReady(t *testing.T) {
	t.Helper()
	client, err := rest.HTTPClientFor(c.config)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the API server to be ready", func() error {
		response, err := client.Get(c.url + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET /readyz answered %s", response.Status)
		}
		return nil
	})
}

// writeKubeconfig writes a kubeconfig with the API server and a bearer token.
func (c *cluster) writeKubeconfig(t *testing.T, name, token string) string {
	t.Helper()
	return writeFile(t, filepath.Join(c.dir, name+".kubeconfig"), c.kubeconfigText(token))
}

func (c *cluster) kubeconfigText(token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %s, insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: test, namespace: %s}}]
current-context: test
`, c.url, token, c.namespace)
}

// authorityOf writes a file with the last certificate of a chain, which has signed the others.
func authorityOf(t *testing.T, chain string) string {
	t.Helper()
	var last *pem.Block
	for rest := []byte(readFile(t, chain)); ; {
		block, after := pem.Decode(rest)
		if block == nil {
			return writeFile(t, chain+".ca", string(pem.EncodeToMemory(last)))
		}
		last, rest = block, after
	}
}

func writeKey(t *testing.T, path string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a command until the end of the test. Its output is logged if the test fails.
func start(t *testing.T, name string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
		if t.Failed() {
			t.Logf("end of %s's output:\n%s", name, tail(log.Name()))
		}
	})
	return cmd
}

// tail returns the end of a file.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

// eventually polls until the error is nil.
func eventually(t *testing.T, within time.Duration, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", within, what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
