//go:build kubernetes

package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The nodes' network: a bridge, on which this machine has the first address, which is also that of the API server and of
// the name server. Pods of node n have addresses 10.2.n.0/24.
const (
	nodeBridge     = "nodes"
	bridgeAddress  = "10.99.0.1"
	podsCIDR       = "10.2.0.0/16"
	servicesCIDR   = "10.0.0.0/24"
	cniPlugins     = "/usr/lib/cni"
	cgroupRoot     = "/sys/fs/cgroup"
	containerdName = "containerd"
)

// node is a real node of the cluster: containerd, kubelet and kube-proxy in a network namespace of their own, which run
// pods as containers. All nodes share this machine's processors and memory, and each reports all of them as its own.
type node struct {
	name    string
	address string
	dir     string
}

// needNodes skips the test where containers cannot run, and says why.
func needNodes(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("pods run as containers only if the test is run by root")
	}
	for _, tool := range []string{containerdName, "ctr", "runc", "buildah", "ip", "iptables", "nsenter", filepath.Join(cniPlugins, "bridge")} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v: install containerd runc buildah containernetworking-plugins iptables iproute2", err)
		}
	}
}

// bridge sets up the network of the nodes.
func bridge(t *testing.T) {
	t.Helper()
	// Their sockets and states; nothing of it is left when the tests end.
	for _, dir := range []string{"/run", "/var/log"} {
		run(t, "mount", "-t", "tmpfs", "tmpfs", dir)
	}
	run(t, "ip", "link", "add", nodeBridge, "type", "bridge")
	run(t, "ip", "address", "add", bridgeAddress+"/24", "dev", nodeBridge)
	run(t, "ip", "link", "set", nodeBridge, "up")
	run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
}

// startNodes starts nodes that have the images, until the end of the tests, and waits until they are ready.
func (c *cluster) startNodes(t *testing.T, n int, archives []string) {
	t.Helper()
	for i := range n {
		c.nodes = append(c.nodes, c.startNode(t, i+1, archives))
	}
	// A client outside the cluster reaches Services through the first node, as through a router.
	run(t, "ip", "route", "add", servicesCIDR, "via", c.nodes[0].address)
	eventually(t, timeout, "nodes to be ready", func() error {
		found, err := list[corev1.Node](t.Context(), c, "Node", "")
		if err != nil {
			return err
		}
		ready := 0
		for _, n := range found {
			for _, condition := range n.Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0 {
					ready++
				}
			}
		}
		if ready < n {
			err = fmt.Errorf("%d are", ready)
		}
		return err
	})
}

func (c *cluster) startNode(t *testing.T, number int, archives []string) *node {
	t.Helper()
	name := fmt.Sprint("node", number)
	n := &node{name: name, address: fmt.Sprint("10.99.0.", 10+number), dir: filepath.Join(os.Getenv(scratchVariable), name)}
	if err := os.MkdirAll(filepath.Join(n.dir, "cni"), 0o755); err != nil {
		t.Fatal(err)
	}
	n.connect(t, number)
	n.startContainerd(t, number)
	for _, archive := range archives {
		n.ctr(t, "images", "import", archive)
	}
	n.startKubelet(t, c)
	n.startProxy(t, c)
	return n
}

// connect gives the node an address on the bridge, and routes the addresses of its pods to it.
func (n *node) connect(t *testing.T, number int) {
	t.Helper()
	run(t, "ip", "netns", "add", n.name)
	run(t, "ip", "link", "add", n.name, "type", "veth", "peer", "name", "eth0", "netns", n.name)
	run(t, "ip", "link", "set", n.name, "master", nodeBridge, "up")
	for _, args := range [][]string{
		{"link", "set", "lo", "up"}, {"link", "set", "eth0", "up"},
		{"address", "add", n.address + "/24", "dev", "eth0"},
		{"route", "add", "default", "via", bridgeAddress},
	} {
		run(t, "ip", append([]string{"-n", n.name}, args...)...)
	}
	run(t, "ip", "route", "add", fmt.Sprintf("10.2.%d.0/24", number), "via", n.address)
	run(t, "nsenter", "--net=/run/netns/"+n.name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")
}

// start runs a program in the node's network until the end of the test.
func (n *node) start(t *testing.T, program string, args ...string) {
	t.Helper()
	start(t, filepath.Base(program)+" of "+n.name, exec.Command("nsenter", append([]string{"--net=/run/netns/" + n.name, program}, args...)...))
}

func (n *node) startContainerd(t *testing.T, number int) {
	t.Helper()
	writeFile(t, filepath.Join(n.dir, "cni", "10-bridge.conflist"), fmt.Sprintf(`{
  "cniVersion": "0.4.0", "name": "pods",
  "plugins": [
    {"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.2.%d.0/24"}]]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}`, filepath.Join(n.dir, "addresses"), number))
	config := writeFile(t, filepath.Join(n.dir, "containerd.toml"), fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # Without it, a machine that is a container itself refuses what pods ask for.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
`, filepath.Join(n.dir, "images"), filepath.Join(n.dir, "state"), n.socket(), pauseImage, cniPlugins, filepath.Join(n.dir, "cni")))
	n.start(t, containerdName, "--config", config)
	eventually(t, timeout, containerdName, func() error {
		conn, err := net.Dial("unix", n.socket())
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func (n *node) socket() string { return filepath.Join(n.dir, "containerd.sock") }

// ctr runs containerd's client and returns its output.
func (n *node) ctr(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, "ctr", append([]string{"--address", n.socket(), "--namespace", "k8s.io"}, args...)...)
}

func (n *node) startKubelet(t *testing.T, c *cluster) {
	t.Helper()
	group := filepath.Join(os.Getenv(groupVariable), n.name)
	if err := errors.Join(makeGroups(group), weigh(filepath.Dir(group), len(c.nodes)+1)); err != nil {
		t.Fatal(err)
	}
	config := writeFile(t, filepath.Join(n.dir, "kubelet.yaml"), fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %s
containerRuntimeEndpoint: "unix://%s"
clusterDNS: [%s]
clusterDomain: cluster.local
resolvConf: ""
cgroupDriver: cgroupfs
cgroupRoot: /%s
# Version 1 of control groups still works; Kubernetes only no longer recommends it.
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
# The machine's disk is not the node's own: it must neither evict pods nor delete images for lack of space.
evictionHard: {memory.available: 1Mi}
imageGCHighThresholdPercent: 100
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}}
authorization: {mode: Webhook}
podLogsDir: %s
volumePluginDir: %s
`, n.address, n.socket(), bridgeAddress, group, filepath.Join(n.dir, "logs"), filepath.Join(n.dir, "plugins")))
	n.start(t, filepath.Join(c.bin, "kubelet"), "--config="+config, "--kubeconfig="+c.writeKubeconfig(t, "admin", adminToken),
		"--hostname-override="+n.name, "--node-ip="+n.address, "--root-dir="+filepath.Join(n.dir, "kubelet"),
		"--cert-dir="+filepath.Join(n.dir, "certs"), "--node-labels=topology.kubernetes.io/zone="+n.name)
}

func (n *node) startProxy(t *testing.T, c *cluster) {
	t.Helper()
	config := writeFile(t, filepath.Join(n.dir, "proxy.yaml"), fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: %s
clusterCIDR: %s
clientConnection: {kubeconfig: %s}
# The limits of connections are the machine's, not the node's.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`, n.name, podsCIDR, c.writeKubeconfig(t, "admin", adminToken)))
	n.start(t, filepath.Join(c.bin, "kube-proxy"), "--config="+config)
}

// controllers returns the folders of the control groups' hierarchies: one for each controller in version 1.
func controllers() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(cgroupRoot, e.Name()))
		}
	}
	return dirs, err
}

// makeGroups makes a control group with its parents in each hierarchy.
func makeGroups(path string) error {
	dirs, err := controllers()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		for part := range strings.SplitSeq(path, "/") {
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			// A new group of version 1 has no processor, and nothing can run in it.
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if data, err := os.ReadFile(filepath.Join(parent, file)); err == nil {
					if err := os.WriteFile(filepath.Join(dir, file), data, 0); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// weigh gives the group of some nodes the share of the processors that nodes give to their pods. By default a group, with all
// processes in it, has as much as a single process outside, such as another test.
func weigh(group string, nodes int) error {
	dirs, err := controllers()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		for file, perCPU := range map[string]int{"cpu.shares": 1024, "cpu.weight": 100} { // of versions 1 and 2
			path := filepath.Join(dir, group, file)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			if err := os.WriteFile(path, fmt.Append(nil, perCPU*runtime.NumCPU()*nodes), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeGroups removes a control group and those in it from each hierarchy. The processes in them must have ended.
func removeGroups(path string) error {
	dirs, err := controllers()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		var groups []string
		err = errors.Join(err, filepath.WalkDir(filepath.Join(dir, path), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				groups = append(groups, path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}))
		for i := range groups {
			err = errors.Join(err, os.Remove(groups[len(groups)-1-i])) // inner ones first
		}
	}
	return err
}

// run runs a command to its end and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
