//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestBackup does what docs/operations.md says about backups: images wait in a dispatcher without replicas, it is stopped, its
// folder copied, and a dispatcher on the copy completes all of them. A copy that is made while it runs is tried too.
func TestBackup(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	data := filepath.Join(folder, "data")
	s := start(t, folder, regexp.MustCompile(`"url":"(http://[^"]+)"`), "--log-format", "json", "dispatcher", "--addr", "127.0.0.1:0",
		"--endpoints", "http://127.0.0.1:1", "--data-dir", data)
	ids := s.submitMany(30)
	running, stopped := filepath.Join(folder, "running"), filepath.Join(folder, "stopped")
	copyFolder(t, data, running)
	if _, err := s.stop(); err != nil {
		t.Fatal(err)
	}
	copyFolder(t, data, stopped)

	restored := up(t, t.TempDir(), "--data-dir", stopped)
	restored.allComplete(ids)
	if _, err := restored.stop(); err != nil {
		t.Error(err)
	}
	up(t, t.TempDir(), "--data-dir", running).allComplete(ids)
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
