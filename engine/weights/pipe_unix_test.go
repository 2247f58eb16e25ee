//go:build unix

package weights

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPipesAreRefused checks that nobody waits for the writer of a named pipe, which a foreign folder may hold.
func TestPipesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Skipf("make a named pipe: %v", err)
	}
	outside := field(field(nil, 8, []byte("c")), 13, field(field(nil, 1, []byte("location")), 2, []byte("pipe")))
	conv := operator("Conv", "", "y", "x", "c")
	conv = field(conv, 5, number(number(field(nil, 1, []byte("strides")), 8, 2), 8, 2))
	conv = field(conv, 5, number(number(number(number(field(nil, 1, []byte("pads")), 8, 3), 8, 3), 8, 3), 8, 3))
	model := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(model, []byte(graphOf(field(nil, 5, number(outside, 14, 1)), conv)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, model} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "pipe is not a regular file") {
			t.Errorf("Load(%s): error %v", path, err)
		}
	}
}
