package weights

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestBeside checks that only files of the model's own folder are opened.
func TestBeside(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	dir := filepath.Join(outer, "model")
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{filepath.Join(outer, "secret"): "secret", filepath.Join(dir, "weights"): "numbers", filepath.Join(dir, "empty"): ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": filepath.Join("..", "secret"), "absolute": filepath.Join(outer, "secret"), "inside": "weights"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	var m mapping
	open := m.besideIn(dir)
	for name, want := range map[string]string{
		"weights": "numbers", "inside": "numbers", "missing": "", "folder": "", "empty": "", "out": "", "absolute": "",
		"../secret": "", filepath.Join(outer, "secret"): "",
	} {
		got, err := open(name)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("open %q: %q, %v; want %q", name, got, err, want)
		}
	}
	m.total = MaxBytes
	if _, err := open("weights"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("open of more than %d bytes: %v", MaxBytes, err)
	}
	if len(m.beside) != 3 {
		t.Errorf("%d files are mapped, want 3", len(m.beside))
	}
	if err := m.close(); err != nil || len(m.beside) != 0 {
		t.Errorf("close: %v, %d files left", err, len(m.beside))
	}
}

// TestONNXExports checks that one network exported in several ways loads as one, with its weights beside the model too.
func TestONNXExports(t *testing.T) {
	t.Parallel()
	from := testutil.Shared(t, "own", "checkpoints")
	dir := t.TempDir()
	for _, name := range []string{"model.onnx", "model.onnx.data"} {
		unpacked, err := open(filepath.Join(from, "onnx-external", name+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		err = os.WriteFile(filepath.Join(dir, name), unpacked.data, 0o600)
		if err := errors.Join(err, unpacked.close()); err != nil {
			t.Fatal(err)
		}
	}
	want := load(t, filepath.Join(from, "onnx-bn.onnx.gz"))
	for _, path := range []string{
		filepath.Join(dir, "model.onnx"),
		filepath.Join(from, "onnx-folded.onnx.gz"),
		filepath.Join(from, "onnx-softmax.onnx.gz"),
		filepath.Join(from, "onnx-normalised-inside.onnx.gz"),
	} {
		got := load(t, path)
		compareFolded(t, got.Tensors, want.Tensors)
		model := spec.Model{Head: spec.Linear(6), Preprocess: spec.Torchvision()}
		if fmt.Sprint(got.Spec) != fmt.Sprint(model) {
			t.Errorf("%s: %+v, want %+v", path, got.Spec, model)
		}
	}
	before := load(t, filepath.Join(dir, "model.onnx")).Identity()
	changed, err := os.ReadFile(filepath.Join(dir, "model.onnx.data"))
	if err != nil {
		t.Fatal(err)
	}
	changed[len(changed)/2]++
	if err := errors.Join(os.Remove(filepath.Join(dir, "model.onnx.data")), os.WriteFile(filepath.Join(dir, "model.onnx.data"), changed, 0o600)); err != nil {
		t.Fatal(err)
	}
	if after := load(t, filepath.Join(dir, "model.onnx")).Identity(); after == before {
		t.Errorf("other weights beside the model have the same identity %s", after)
	}
	if err := os.Remove(filepath.Join(dir, "model.onnx.data")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "model.onnx")); err == nil || !strings.Contains(err.Error(), "model.onnx.data") {
		t.Errorf("without its data: %v", err)
	}
}
