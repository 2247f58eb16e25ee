//go:build unix

package catalog

import (
	"syscall"
	"testing"
)

// TestRollbackPipe checks that a pipe in the place of a note, which nobody writes to, does not stop the catalog.
func TestRollbackPipe(t *testing.T) {
	t.Parallel()
	k := rollbacks{t.TempDir()}
	if err := syscall.Mkfifo(k.path("a.pth", "01"), 0o600); err != nil {
		t.Skip(err)
	}
	if r, ok := k.find("a.pth", "01"); ok {
		t.Errorf("found %v, want nothing", r)
	}
}
