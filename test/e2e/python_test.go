//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// python is an interpreter with the required modules; Debian's python3-flask belongs to /usr/bin/python3.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	for _, candidate := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(candidate, "-c", "import sys, "+strings.Join(modules, ", ")).Run() == nil {
			return candidate
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("no Python with %v", modules)
	}
	t.Skipf("no Python with %v", modules)
	return ""
}

// TestPythonClient runs a client like the prototype's against our dispatcher.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	s := up(t, t.TempDir())
	args := append([]string{"testdata/client.py", s.url}, pictureFiles(t, 5)...)
	out, err := exec.Command(python(t, "json"), args...).CombinedOutput()
	if err != nil || strings.Count(string(out), "\n") != 5 {
		t.Errorf("client.py: %v\n%s", err, out)
	}
}

// TestPrototypeReplica puts our dispatcher in front of a replica like the prototype's.
func TestPrototypeReplica(t *testing.T) {
	t.Parallel()
	interpreter := python(t, "flask")
	addr := harness.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	flask := exec.Command(interpreter, "testdata/prototype_replica.py", port)
	if err := flask.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flask.Process.Kill(); _ = flask.Wait() })

	s := start(t, t.TempDir(), regexp.MustCompile(`"dispatcher ready","url":"(\S+?)"`), "--log-format", "json", "dispatcher",
		"--addr", "127.0.0.1:0", "--endpoints", "http://"+addr)
	ids := s.submitMany(40)
	s.allComplete(ids)
	_, body, err := s.result(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	result, _ := body["result"].(map[string]any)
	if fmt.Sprint(result["predictions"]) != "[goldfinch bulbul chickadee magpie junco]" {
		t.Errorf("result %v", result)
	}
	id, err := s.submit("notes.txt", []byte("not an image"))
	if err != nil {
		t.Fatal(err)
	}
	if status, body, err := s.result(t.Context(), id); status != "failed" || body["error"] == nil {
		t.Errorf("what the replica cannot read: %s, %v, %v", status, body, err)
	}
}

// pictureFiles writes n different images.
func pictureFiles(t *testing.T, n int) []string {
	t.Helper()
	var files []string
	dir := t.TempDir()
	for i := range n {
		files = append(files, filepath.Join(dir, fmt.Sprintf("picture-%d.jpg", i)))
		if err := os.WriteFile(files[i], picture(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
