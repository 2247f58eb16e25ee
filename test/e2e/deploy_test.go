//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOnScratch runs the binary like the container image does: alone in a file system, under an unknown user ID.
func TestOnScratch(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("changing the root folder needs root")
	}
	root := t.TempDir()
	for dir := root; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	copyFile(t, binary, filepath.Join(root, "resnet18cloud"), 0o755)
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	model := []string{"--random-weights"}
	if weights != "" {
		copyFile(t, weights, filepath.Join(root, "model"), 0o644)
		model = []string{"--model", "/model"}
	}
	replica := contained(t, root, `replica ready.*url=(\S+)`, append([]string{"replica", "--addr", "127.0.0.1:0"}, model...)...)
	dispatcher := contained(t, root, `dispatcher ready.*url=(\S+)`,
		"dispatcher", "--addr", "127.0.0.1:0", "--data-dir", "/data", "--endpoints", replica)
	s := &system{t: t, url: dispatcher}
	s.allComplete(s.submitMany(5))
}

// contained starts the binary in root as user 65532 without an environment, and returns the URL it logs.
func contained(t *testing.T, root, address string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(t.Context(), "/resnet18cloud", args...)
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, drained := make(chan string, 1), make(chan struct{})
	var seen []string
	go func() {
		defer close(drained)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			seen = append(seen, lines.Text())
			if m := regexp.MustCompile(address).FindStringSubmatch(lines.Text()); m != nil {
				url <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v:\n%s", args, strings.Join(seen, "\n"))
		}
	})
	select {
	case u := <-url:
		return u
	case <-drained:
		t.Fatalf("%v ended", args)
	case <-ctx.Done():
		t.Fatalf("%v does not serve after a minute", args)
	}
	return ""
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKustomize renders what kubectl apply -k k8s would apply.
func TestKustomize(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kubectl"); err != nil { // Debian has no package for it, so it may be missing in CI too
		t.Skip(err)
	}
	out, err := exec.Command("kubectl", "kustomize", "../../k8s").CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v\n%s", err, out)
	}
	var kinds []string
	for _, m := range regexp.MustCompile(`(?m)^kind: (\w+)`).FindAllStringSubmatch(string(out), -1) {
		kinds = append(kinds, m[1])
	}
	slices.Sort(kinds)
	if got, want := strings.Join(kinds, " "), "Deployment PodDisruptionBudget Service Service Service StatefulSet"; got != want {
		t.Errorf("kinds %s, want %s", got, want)
	}
}
