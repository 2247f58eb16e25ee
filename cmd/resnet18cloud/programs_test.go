package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestProgramsOfImages builds the programs of the container images, and checks that they have the commands that the images
// and the manifests use, with the same options as the whole program.
func TestProgramsOfImages(t *testing.T) {
	t.Parallel()
	for tag, commands := range map[string][]string{
		"only_dispatcher": {"dispatcher", "autoscaler", "status", "keys", "version"},
		"only_replica":    {"replica", "version"},
	} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), "resnet18cloud")
			build := exec.CommandContext(t.Context(), "go", "build", "-tags", tag, "-o", binary, ".")
			build.Env = append(os.Environ(), userCache)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			narrow := func(args ...string) (string, error) {
				out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
				return string(out), err
			}
			for _, name := range append(commands, "help") {
				var want bytes.Buffer
				if err := run(t.Context(), []string{name, "--help"}, &want, &want); err != nil {
					t.Fatal(err)
				}
				if got, err := narrow(name, "--help"); err != nil || got != want.String() {
					t.Errorf("%s --help: %v\n%s\nwant, as the whole program prints:\n%s", name, err, got, want.String())
				}
			}
			if got, err := narrow("loadtest"); err == nil || !strings.Contains(got, "has fewer commands") {
				t.Errorf("loadtest: %v, %s; want an error that says what the program is", err, got)
			}
		})
	}
}

// TestProgramsOfImagesContainLittle checks that the programs do not contain what only other commands need.
func TestProgramsOfImagesContainLittle(t *testing.T) {
	t.Parallel()
	for tag, without := range map[string][]string{
		"only_dispatcher": {"/replica", "/catalog", "/model", "/teach", "/load", "/autoscale/sim", "/autoscale/local", "/internal/chart"},
		"only_replica": {"/dispatch", "/web", "/autoscale", "/model/teach", "/load", "/teach", "github.com/nats-io/nats-server/v2/server",
			"github.com/nats-io/nats.go", "k8s.io/client-go/rest"},
	} {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tag, ".")
		list.Env = append(os.Environ(), userCache)
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		for _, name := range without {
			name = strings.Replace(name, "/", "github.com/resnet18cloud/resnet18cloud/", strings.Count(name[:1], "/"))
			if slices.Contains(deps, name) {
				t.Errorf("%s contains %s", tag, name)
			}
		}
		if zones := tag == "only_dispatcher"; slices.Contains(deps, "time/tzdata") != zones { // of --schedule: images have no files of them
			t.Errorf("%s contains the time zones: %v, want %v", tag, !zones, zones)
		}
	}
}
