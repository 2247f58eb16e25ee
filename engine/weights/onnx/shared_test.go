package onnx

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// unpacked is a gzipped file of ../shared.
func unpacked(t *testing.T, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRealExports reads files that PyTorch wrote, all from the same weights.
func TestRealExports(t *testing.T) {
	t.Parallel()
	dir := testutil.Shared(t, "own", "checkpoints")
	imagenet := spec.Torchvision()
	var fc []float32
	for _, test := range []struct {
		file       string
		kept       bool
		crop       int
		normalized bool
		note       string
	}{
		{file: "onnx-folded.onnx.gz", crop: 224},
		{file: "onnx-bn.onnx.gz", kept: true, crop: 224},
		{file: "onnx-softmax.onnx.gz", crop: 224, note: "ends with Softmax"},
		{file: "onnx-normalised-inside.onnx.gz", crop: 224, normalized: true, note: "normalizes its input"},
		{file: "onnx-opset7-gluon-style.onnx.gz", kept: true, crop: 224},
		{file: filepath.Join("onnx-external", "model.onnx.gz"), crop: 224},
	} {
		open := func(name string) ([]byte, error) {
			return unpacked(t, filepath.Join(dir, filepath.Dir(test.file), name+".gz")), nil
		}
		c, err := Parse(unpacked(t, filepath.Join(dir, test.file)), open)
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		want := 42
		if test.kept {
			want = 20*5 + 2
		}
		if len(c.Tensors) != want {
			t.Errorf("%s: %d tensors, want %d", test.file, len(c.Tensors), want)
		}
		for _, l := range convolutions() {
			if err := c.Tensors[l.name+".weight"].Check(l.out, l.in, l.kernel, l.kernel); err != nil {
				t.Errorf("%s: %s.weight %v", test.file, l.name, err)
			}
			other := l.name + ".bias"
			if test.kept {
				other = l.norm + ".running_var"
			}
			if err := c.Tensors[other].Check(l.out); err != nil {
				t.Errorf("%s: %s %v", test.file, other, err)
			}
		}
		w := c.Tensors["fc.weight"]
		if err := w.Check(6, spec.Features); err != nil {
			t.Errorf("%s: fc.weight %v", test.file, err)
		}
		if fc == nil {
			fc = w.Data
		}
		if !slices.Equal(w.Data, fc) {
			t.Errorf("%s: fc.weight differs from that of the first file", test.file)
		}
		if fmt.Sprint(c.Head) != fmt.Sprint(spec.Linear(6)) {
			t.Errorf("%s: head %+v, want %+v", test.file, c.Head, spec.Linear(6))
		}
		p := spec.Preprocess{Crop: test.crop}
		if test.normalized {
			p.Mean, p.Deviation = imagenet.Mean, imagenet.Deviation
		}
		if c.Preprocess == nil && p != (spec.Preprocess{}) || c.Preprocess != nil && *c.Preprocess != p {
			t.Errorf("%s: preprocessing %+v, want %+v", test.file, c.Preprocess, p)
		}
		if notes := strings.Join(c.Notes, "\n"); !strings.Contains(notes, test.note) || test.note == "" && notes != "" {
			t.Errorf("%s: notes %q, want %q", test.file, notes, test.note)
		}
	}
}
