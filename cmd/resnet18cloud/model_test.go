package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// command runs the command line and returns what it printed.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), err
}

// TestModelCommands pulls from the mirror, verifies, converts, and verifies what came out.
func TestModelCommands(t *testing.T) {
	t.Parallel()
	mirror := testutil.Shared(t, "models")
	dir := t.TempDir()
	pulled, converted := filepath.Join(dir, "pulled"), filepath.Join(dir, "converted")
	for _, step := range []struct {
		args []string
		want []string
	}{
		{[]string{"model", "pull", "--mirror", mirror, "--out", pulled}, []string{"pulled: " + pulled, "resnet18-ktb", "Stock et al."}},
		{[]string{"model", "pull", "--mirror", mirror, "--out", pulled}, []string{"already present: " + pulled}},
		{[]string{"model", "verify", pulled}, []string{"format      safetensors", "resnet18-ktb@", "OK\n"}},
		{[]string{"model", "convert", filepath.Join(mirror, "resnet18-ktb.onnx.gz"), converted}, []string{"wrote " + converted}},
		{[]string{"model", "verify", converted}, []string{"tensors     42", "parameters  11684712", "OK\n"}},
	} {
		stdout, _, err := command(t, step.args...)
		if err != nil {
			t.Fatalf("%v: %v", step.args, err)
		}
		for _, want := range step.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v printed %q, want it to contain %q", step.args, stdout, want)
			}
		}
	}
}

// TestModelPullWithoutNetwork checks that the error names what works without one.
func TestModelPullWithoutNetwork(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "pulled")
	_, _, err := command(t, "model", "pull", "http://127.0.0.1:1/best.pth", "--out", out, "--tries", "1")
	if err == nil || !strings.Contains(err.Error(), "without a network: ") {
		t.Errorf("model pull without a network: %v, want what works without one", err)
	}
}

func TestModelVerifyBroken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "w.pth")
	if err := os.WriteFile(path, []byte("PK\x03\x04 and no more"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := command(t, "model", "verify", path)
	if err == nil || !strings.Contains(stdout, "BROKEN") || strings.HasSuffix(stdout, "OK\n") {
		t.Errorf("verify of a broken file: error %v, printed %q, want BROKEN", err, stdout)
	}
}

func TestProgressLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out)
	for done := int64(0); done <= 1000; done++ {
		p.update(done<<10, 1000<<10)
	}
	p.end()
	if got := strings.Count(out.String(), "\n"); got != 11 {
		t.Errorf("%d lines for a download of 1000 steps, want 11:\n%s", got, out.String())
	}
}
