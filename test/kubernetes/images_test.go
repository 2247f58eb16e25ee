//go:build kubernetes

package kubernetes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// pauseImage is the image of the process that holds a pod's namespaces.
const pauseImage = "localhost/pause:test"

// recipe is an image FROM scratch.
type recipe struct {
	tag   string
	files map[string]string // sources by path in the image
	lines string            // of its Containerfile, after the files
}

// buildImages builds our program and the images of the manifests, from the present sources and with the tags that the Dockerfile
// sets, and returns the archives of the images.
func buildImages(t *testing.T) (binary string, archives []string) {
	t.Helper()
	dir := filepath.Join(os.Getenv(scratchVariable), "build")
	program := func(name, source, tags string) string {
		path := filepath.Join(dir, name)
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", tags, "-ldflags", "-s -w", "-o", path, source)
		build.Dir = testutil.Root(t)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
		return path
	}
	binary = program("resnet18cloud", "./cmd/resnet18cloud", "")
	const own = "USER 65532:65532\nENTRYPOINT [\"/resnet18cloud\"]\n"
	for _, r := range []recipe{
		{pauseImage, map[string]string{"/pause": program("pause", "./test/kubernetes/pause", "")}, `ENTRYPOINT ["/pause"]`},
		{"docker.io/library/dispatcher:latest", map[string]string{"/resnet18cloud": program("dispatcher", "./cmd/resnet18cloud", "only_dispatcher")}, own},
		{"docker.io/library/resnet18-app:latest", map[string]string{"/resnet18cloud": program("replica", "./cmd/resnet18cloud", "only_replica"),
			"/model/resnet18.safetensors": writeWeights(t, binary)}, own + "ENV RESNET18_MODEL=/model/resnet18.safetensors\n"},
		{natsImage(t), map[string]string{"/usr/local/bin/nats-server": program("nats-server", "github.com/nats-io/nats-server/v2", "")},
			"ENV PATH=/usr/local/bin\n"},
	} {
		archives = append(archives, r.build(t, dir))
	}
	return binary, archives
}

// natsImage returns the image that the production overlay names. Ours is of the version in go.mod, which must be the same.
func natsImage(t *testing.T) string {
	t.Helper()
	return "docker.io/library/nats:" + natsTag(t)
}

func natsTag(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", "overlays", "production", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct {
		Images []struct{ Name, NewTag string }
	}
	if err := yaml.Unmarshal(data, &overlay); err != nil {
		t.Fatal(err)
	}
	for _, image := range overlay.Images {
		if image.Name == "nats" {
			return image.NewTag
		}
	}
	t.Fatal("the production overlay names no tag of nats")
	return ""
}

// build builds the image with buildah, in dir, and returns its archive.
func (r recipe) build(t *testing.T, dir string) (archive string) {
	t.Helper()
	name := strings.NewReplacer("/", "-", ":", "-").Replace(r.tag)
	root := filepath.Join(dir, name)
	text := "FROM scratch\nCOPY . /\n" + r.lines
	for path, source := range r.files {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(source, filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
	}
	storage := []string{"--root=" + filepath.Join(dir, "storage"), "--runroot=" + filepath.Join(dir, "run"), "--storage-driver=overlay"}
	recipe := writeFile(t, filepath.Join(dir, name+".containerfile"), text)
	archive = filepath.Join(dir, name+".tar")
	run(t, "buildah", append(storage, "build", "--isolation=chroot", "--tag="+r.tag, "--file="+recipe, root)...)
	run(t, "buildah", append(storage, "push", "--quiet", r.tag, "oci-archive:"+archive+":"+r.tag)...)
	return archive
}
