package client_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// interpreter returns the path of a program for examples. Without it, the test is skipped.
func interpreter(t *testing.T, name, version string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s: %v", version, err)
	}
	return path
}

// python returns a Python of version 3.9 or later.
func python(t *testing.T) string {
	t.Helper()
	path := interpreter(t, "python3", "Python 3.9 or later")
	if out, err := exec.CommandContext(t.Context(), path, "-c", "import sys; sys.exit(sys.version_info < (3, 9))").CombinedOutput(); err != nil {
		t.Skipf("needs Python 3.9 or later: %v %s", err, out)
	}
	return path
}

// execute runs a program for at most two minutes and returns what it prints.
func execute(t *testing.T, dir string, environment []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Env = dir, append(os.Environ(), append(environment, "PYTHONDONTWRITEBYTECODE=1")...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(command.Args, " "), err, out)
	}
	return string(out)
}

// TestPython runs the tests of the Python client against a dispatcher.
func TestPython(t *testing.T) {
	t.Parallel()
	path := python(t)
	out := execute(t, filepath.Join(testutil.Root(t), "clients", "python"), []string{"RESNET18_URL=" + strings.TrimSuffix(start(t).BaseURL, "/")},
		path, "-W", "error", "-m", "unittest", "resnet18cloud_test")
	if !strings.Contains(out, "OK") || strings.Contains(out, "skipped") {
		t.Errorf("the tests say:\n%s", out)
	}
}

// TestExamplesInDocs runs the programs of docs/clients.md against a dispatcher. Those in Go are examples of this package,
// so that they are compiled.
func TestExamplesInDocs(t *testing.T) {
	t.Parallel()
	root := testutil.Root(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	c, dir := start(t), t.TempDir()
	for _, name := range []string{"goldfinch.jpg", "a.jpg", "b.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), picture(name).Bytes, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[string]int{}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		language, code := m[1], strings.ReplaceAll(m[2], "http://127.0.0.1:8080", strings.TrimSuffix(c.BaseURL, "/"))
		counts[language]++
		t.Run(fmt.Sprint(language, counts[language]), func(t *testing.T) {
			var out string
			switch language {
			case "bash":
				interpreter(t, "curl", "curl")
				out = execute(t, dir, nil, interpreter(t, "bash", "bash"), "-euo", "pipefail", "-c", code)
			case "python":
				out = execute(t, dir, []string{"PYTHONPATH=" + filepath.Join(root, "clients", "python")}, python(t), "-c", code)
			case "javascript":
				out = execute(t, dir, nil, interpreter(t, "node", "Node.js 20 or later"), "--input-type=module", "-e", code)
			case "js": // for browsers
				return
			case "go":
				indented := "\t" + strings.ReplaceAll(strings.TrimSpace(m[2]), "\n", "\n\t")
				if !strings.Contains(string(examples), indented) {
					t.Errorf("example_test.go has no example with\n%s", indented)
				}
				return
			default:
				t.Fatalf("a program in %s", language)
			}
			if !strings.Contains(out, "goldfinch") {
				t.Errorf("it prints %q, want the label", out)
			}
		})
	}
	for _, language := range []string{"bash", "python", "javascript", "go"} {
		if counts[language] < 3 {
			t.Errorf("docs/clients.md has %d programs in %s, want 3 or more", counts[language], language)
		}
	}
}
