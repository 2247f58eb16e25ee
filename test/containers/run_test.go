//go:build containers

package containers

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// startLimit is how long a container may take until it is ready, on a busy machine.
const startLimit = 2 * time.Minute

// podman runs podman on a machine without systemd, and returns what it prints to stdout.
func podman(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, "podman", append([]string{"--runtime", "runc", "--cgroup-manager", "cgroupfs"}, args...)...)
}

// runContainer runs a container with limits that are below those of machines that allow little.
func runContainer(t *testing.T, args ...string) string {
	t.Helper()
	return podman(t, append([]string{"run", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"}, args...)...)
}

// testRun runs both images with the settings of the manifests, classifies a picture, and stops them while they work.
func testRun(t *testing.T, real bool) {
	var deployment appsv1.Deployment
	readManifest(t, "deployment.yaml", &deployment)
	var set appsv1.StatefulSet
	readManifest(t, "dispatcher.yaml", &set)

	replicaAddr, addr := harness.FreeAddr(t), harness.FreeAddr(t)
	replica := start(t, deployment.Spec.Template.Spec, "", "RESNET18_REPLICA_ADDR="+replicaAddr)
	awaitReady(t, replicaAddr, deployment.Spec.Template.Spec)
	dispatcher := start(t, set.Spec.Template.Spec, dataFolder(t), "RESNET18_DISPATCHER_ADDR="+addr, "RESNET18_ENDPOINTS=http://"+replicaAddr)
	awaitReady(t, addr, set.Spec.Template.Spec)

	c := &client.Client{BaseURL: "http://" + addr}
	data, want := picture(t, real)
	r, err := c.Predict(t.Context(), resnet18cloud.Image{Name: "picture", Bytes: data}, client.Options{})
	if err != nil || len(r.Predictions) != 5 || want != "" && r.Predictions[0] != want {
		t.Errorf("predictions %q, %v; want five, the first one %q", r.Predictions, err, want)
	}
	// The chart's test, and its autoscaler, are commands of the same image.
	out := runContainer(t, "--rm", "--network", "host", "localhost/dispatcher:test", "status", "http://"+addr, "--once")
	if out == "" {
		t.Error("status prints nothing")
	}
	runContainer(t, "--rm", "--network", "none", "localhost/dispatcher:test", "autoscaler", "--help")

	if _, err := c.Submit(t.Context(), resnet18cloud.Image{Name: "last", Bytes: noise(t, 1)}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	stop(t, dispatcher) // while the picture waits or is classified
	stop(t, replica)
}

// readManifest reads the document of a file in k8s/ that has the object's kind.
func readManifest(t *testing.T, name string, object any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", name))
	if err != nil {
		t.Fatal(err)
	}
	kind := "\nkind: Deployment\n"
	if _, ok := object.(*appsv1.StatefulSet); ok {
		kind = "\nkind: StatefulSet\n"
	}
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		if strings.Contains(document, kind) {
			if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s has no %s", name, kind)
}

// start runs the container of a pod as a kubelet would, on the host's network, and returns its ID. data is the folder of the
// volume, if it has one; env are variables that replace those of the manifest.
func start(t *testing.T, pod corev1.PodSpec, data string, env ...string) string {
	t.Helper()
	c := pod.Containers[0]
	args := []string{
		"--detach", "--network", "host", "--read-only", "--read-only-tmpfs=false",
		"--user", fmt.Sprintf("%d:%d", *pod.SecurityContext.RunAsUser, *pod.SecurityContext.RunAsGroup),
		"--memory", strconv.FormatInt(c.Resources.Limits.Memory().Value(), 10),
	}
	if cpu := c.Resources.Limits.Cpu(); !cpu.IsZero() {
		args = append(args, "--cpus", cpu.AsDec().String())
	}
	if !*c.SecurityContext.AllowPrivilegeEscalation {
		args = append(args, "--security-opt", "no-new-privileges")
	}
	for _, name := range c.SecurityContext.Capabilities.Drop {
		args = append(args, "--cap-drop", string(name))
	}
	for _, e := range c.Env {
		args = append(args, "--env", e.Name+"="+e.Value)
	}
	for _, e := range env {
		args = append(args, "--env", e)
	}
	for _, m := range c.VolumeMounts {
		args = append(args, "--volume", data+":"+m.MountPath)
	}
	name, _, _ := strings.Cut(c.Image, ":")
	id := strings.TrimSpace(runContainer(t, append(append(args, "localhost/"+name+":test"), c.Args...)...))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("podman", "logs", id).CombinedOutput()
			t.Logf("%s:\n%s", name, out)
		}
		_ = exec.Command("podman", "--runtime", "runc", "rm", "--force", "--time", "0", id).Run()
	})
	return id
}

// awaitReady waits for the pod's readiness probe.
func awaitReady(t *testing.T, addr string, pod corev1.PodSpec) {
	t.Helper()
	begin := time.Now()
	err := harness.AwaitOK(t.Context(), startLimit, "http://"+addr+pod.Containers[0].ReadinessProbe.HTTPGet.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is ready %.2f s after its container was started", pod.Containers[0].Name, time.Since(begin).Seconds())
}

// dataFolder is a volume as Kubernetes prepares it for fsGroup: of the group, which may write.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chown(dir, 0, 65532); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o775|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// stop sends SIGTERM, and checks that the container ends by itself with status 0.
func stop(t *testing.T, id string) {
	t.Helper()
	podman(t, "kill", "--signal", "TERM", id)
	if status := strings.TrimSpace(podman(t, "wait", id)); status != "0" {
		t.Errorf("ended with status %s", status)
	}
}

// picture is a photo with its label if there are real weights and reference images, and noise otherwise.
func picture(t *testing.T, real bool) (data []byte, label string) {
	t.Helper()
	photo := filepath.Join(testutil.Root(t), "..", "shared", "images", "imagenet-sample", "n01531178_goldfinch.JPEG")
	if data, err := os.ReadFile(photo); err == nil && real {
		return data, "goldfinch"
	}
	return noise(t, 0), ""
}

// noise is a picture without meaning; other seeds give others.
func noise(t *testing.T, seed byte) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 300, 300))
	for i := range m.Pix {
		m.Pix[i] = byte(i*i>>3) + seed
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
