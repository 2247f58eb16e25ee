//go:build containers

package containers

import (
	"archive/tar"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// What the images are told to be.
const (
	version = "v1.2.3"
	commit  = "0123456789abcdef0123456789abcdef01234567"
	epoch   = "1700000000"
	created = "2023-11-14T22:13:20Z"
)

// target is an image that the Dockerfile describes.
type target struct {
	name    string
	most    int64    // bytes to pull, without weights
	files   []string // without their folders
	modules []string // of those that its program contains
	lacks   []string // modules that it must not contain
	port    string
}

var targets = []target{
	{
		name: "dispatcher", most: 25e6, port: "8080/tcp",
		files:   common,
		modules: []string{"github.com/alecthomas/kong", "github.com/nats-io/nats-server/v2", "k8s.io/client-go", "std"},
	},
	{
		name: "resnet18-app", most: 12e6, port: "5000/tcp",
		files:   append([]string{"model/resnet18.safetensors"}, common...),
		modules: []string{"github.com/alecthomas/kong", "golang.org/x/sys", "std"},
		lacks:   []string{"github.com/nats-io/nats-server/v2", "k8s.io/client-go"},
	},
}

const (
	program   = "resnet18cloud"
	documents = "usr/share/doc/resnet18cloud/"
	materials = documents + "resnet18cloud.cdx.json"
)

var common = []string{"etc/ssl/certs/ca-certificates.crt", program, documents + "LICENSE", documents + "NOTICE", materials}

// TestContainers builds the images twice, looks into them, and runs them.
func TestContainers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("building and running containers here needs root")
	}
	for _, tool := range []string{"buildah", "debootstrap", "podman", "runc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	mirror := os.Getenv("MODEL_MIRROR")
	real := mirror != ""
	if !real {
		mirror = randomMirror(t)
	}
	build(t, mirror, "test", "linux/amd64")
	for _, i := range targets {
		t.Run(i.name, func(t *testing.T) {
			dir := mount(t, i.name+":test")
			t.Run("config", func(t *testing.T) { testConfig(t, i) })
			t.Run("files", func(t *testing.T) { testFiles(t, i, dir) })
			t.Run("bill of materials", func(t *testing.T) { testMaterials(t, i, dir) })
		})
	}
	t.Run("run", func(t *testing.T) { testRun(t, real) })
	t.Run("same bytes again", func(t *testing.T) {
		build(t, mirror, "again", "linux/amd64")
		for _, i := range targets {
			if first, second := inspect(t, i.name+":test").ID, inspect(t, i.name+":again").ID; first != second {
				t.Errorf("%s: image %s, and built again %s", i.name, first, second)
			}
		}
	})
	t.Run("arm64", func(t *testing.T) {
		build(t, mirror, "arm64", "linux/arm64")
		for _, i := range targets {
			binary, err := elf.Open(filepath.Join(mount(t, i.name+":arm64"), program))
			if err != nil {
				t.Fatal(err)
			}
			if got := inspect(t, i.name+":arm64").Architecture; got != "arm64" || binary.Machine != elf.EM_AARCH64 {
				t.Errorf("%s: image for %s, program for %s", i.name, got, binary.Machine)
			}
			binary.Close()
		}
	})
}

// build makes both images as make buildah does, and removes them when the test ends.
func build(t *testing.T, mirror, tag, platform string) {
	t.Helper()
	t.Cleanup(func() {
		for _, i := range targets {
			_ = exec.Command("buildah", "rmi", "--force", i.name+":"+tag).Run()
		}
	})
	command(t, "make", "-C", testutil.Root(t), "buildah", "VERSION="+version, "COMMIT="+commit, "SOURCE_DATE_EPOCH="+epoch,
		"MODEL_MIRROR="+mirror, "TAG="+tag, "PLATFORM="+platform)
}

// randomMirror is a folder like those of MODEL_MIRROR, with random weights.
func randomMirror(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := harness.WriteRandomWeights(filepath.Join(dir, "random.safetensors")); err != nil {
		t.Fatal(err)
	}
	const index = `{"default": "random.safetensors", "weights": "random", "files": [{"name": "random.safetensors", "format": "safetensors"}]}`
	if err := os.WriteFile(filepath.Join(dir, "models.json"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs a program and returns what it prints to stdout.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// described is what podman says of an image.
type described struct {
	ID           string `json:"Id"`
	Architecture string
	Created      string
	Config       struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		ExposedPorts map[string]struct{}
		Labels       map[string]string
	}
}

func inspect(t *testing.T, name string) described {
	t.Helper()
	var all []described
	if err := json.Unmarshal([]byte(command(t, "podman", "image", "inspect", "localhost/"+name)), &all); err != nil || len(all) != 1 {
		t.Fatalf("podman image inspect %s: %d images, %v", name, len(all), err)
	}
	return all[0]
}

// mount returns the folder with an image's files.
func mount(t *testing.T, name string) string {
	t.Helper()
	container := strings.TrimSpace(command(t, "buildah", "from", "--pull-never", "localhost/"+name))
	t.Cleanup(func() { _ = exec.Command("buildah", "rm", container).Run() })
	return strings.TrimSpace(command(t, "buildah", "mount", container))
}

func testConfig(t *testing.T, i target) {
	got := inspect(t, i.name+":test")
	if got.Config.User != "65532:65532" || !slices.Equal(got.Config.Entrypoint, []string{"/" + program}) {
		t.Errorf("runs %q as %q, want /%s as 65532:65532", got.Config.Entrypoint, got.Config.User, program)
	}
	if _, ok := got.Config.ExposedPorts[i.port]; !ok || len(got.Config.ExposedPorts) != 1 {
		t.Errorf("ports %v, want %s", got.Config.ExposedPorts, i.port)
	}
	if !strings.HasPrefix(got.Created, strings.TrimSuffix(created, "Z")) {
		t.Errorf("created %s, want %s", got.Created, created)
	}
	labels := got.Config.Labels
	for name, want := range map[string]string{"version": version, "revision": commit, "created": created, "licenses": "Apache-2.0"} {
		if got := labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("label %s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"title", "description", "source"} {
		if labels["org.opencontainers.image."+name] == "" {
			t.Errorf("no label %s", name)
		}
	}
	if len(labels) != 7 {
		t.Errorf("labels %v, want seven", slices.Sorted(maps.Keys(labels)))
	}
	out := runContainer(t, "--rm", "--network", "none", "localhost/"+i.name+":test", "version")
	if !strings.HasPrefix(out, "resnet18cloud "+version+"\ncommit   "+commit+"\n") {
		t.Errorf("version prints %q, want %s and %s", out, version, commit)
	}
}

// testFiles checks that an image has nothing but what it needs, readable by its user, and how much there is to pull.
func testFiles(t *testing.T, i target, dir string) {
	var got []string
	packed := &counter{}
	zipped := gzip.NewWriter(packed)
	archive := tar.NewWriter(zipped)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if want := fs.FileMode(0o444); info.Mode()&want != want {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		got = append(got, name)
		if strings.HasPrefix(name, "model/") {
			return nil
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(archive, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(i.files))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	info, err := os.Stat(filepath.Join(dir, program))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f MB to pull without weights, the program %.1f MB unpacked", float64(packed.n)/1e6, float64(info.Size())/1e6)
	if packed.n > i.most {
		t.Errorf("%d bytes to pull without weights, want at most %d", packed.n, i.most)
	}
}

// counter counts bytes.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// testMaterials checks that an image says which modules its program contains.
func testMaterials(t *testing.T, i target, dir string) {
	data, err := os.ReadFile(filepath.Join(dir, materials))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(data, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.Metadata.Component.Version != version {
		t.Errorf("a bill in %q of version %q, want CycloneDX, %s", bill.BOMFormat, bill.Metadata.Component.Version, version)
	}
	var names []string
	for _, c := range bill.Components {
		names = append(names, c.Name)
		if c.Version == "" || c.PURL == "" {
			t.Errorf("%s has version %q and purl %q", c.Name, c.Version, c.PURL)
		}
	}
	for _, name := range i.modules {
		if !slices.Contains(names, name) {
			t.Errorf("the bill lacks %s", name)
		}
	}
	for _, name := range i.lacks {
		if slices.Contains(names, name) {
			t.Errorf("the program contains %s", name)
		}
	}
}
