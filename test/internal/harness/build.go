package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// The programs under test: ours, and the NATS server of the module's dependency.
const (
	dispatcherPackage = "./cmd/resnet18cloud"
	natsPackage       = "github.com/nats-io/nats-server/v2"
)

var built struct {
	mu   sync.Mutex
	path map[string]string // guarded by mu; by package
}

// Program builds the program of this repository, once per run, and returns its path.
func Program(t testing.TB) string { return build(t, dispatcherPackage, "resnet18cloud") }

// NATSServer builds the NATS server of the module's dependency, once per run, and returns its path.
func NATSServer(t testing.TB) string { return build(t, natsPackage, "nats-server") }

func build(t testing.TB, pkg, name string) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if out := built.path[pkg]; out != "" {
		return out
	}
	out := filepath.Join(programs, path.Base(name))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	cmd.Dir = testutil.Root(t)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	if built.path == nil {
		built.path = map[string]string{}
	}
	built.path[pkg] = out
	return out
}

// Setting reads a number from the environment, which sets the size or the seed of a run.
func Setting(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(fmt.Errorf("read %s: %w", name, err))
	}
	return n
}
