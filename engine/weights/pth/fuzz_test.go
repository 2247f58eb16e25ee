package pth

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// FuzzParse checks that no file makes the reader crash, hang or take much memory, and that what is offered can be read or is
// an error.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.p*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".py" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(zipped(f, zip.Store, "m/", goodPickle, goodStorages))
	f.Add(zipped(f, zip.Deflate, "", goodPickle, goodStorages))
	f.Add(legacy(goodPickle, []string{"1", "0"}, goodStorages, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		readable(t, c)
	})
}

// FuzzProgram does the same with the pickle alone, which the check sums of zip files hide from the fuzzer.
func FuzzProgram(f *testing.F) {
	f.Add([]byte(goodPickle))
	f.Add([]byte("\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94."))
	f.Add([]byte("\x80\x02]((K\x01e(M\x02\x00J\xff\xff\xff\xfft\x8a\x02\xff\x00\x87a."))
	for _, file := range []string{"plain-0.pkl", "plain-2.pkl", "plain-5.pkl", "cycle.pkl", "arrays-2.pkl"} {
		f.Add(golden(f, file))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		steps := maxSteps
		root, n, err := newMachine(&steps).run(program)
		if err != nil {
			return
		}
		if n <= 0 || n > len(program) {
			t.Errorf("run = %v of %d bytes, program has %d", root, n, len(program))
		}
		w := walker{source: &source{fetch: func(s *storage) ([]byte, error) { return goodStorages["0"], nil }}}
		c := &Content{Facts: facts(root), Keys: keys(root)}
		if c.Candidates, err = w.candidates(root); err == nil {
			readable(t, c)
		}
	})
}

// readable reads all tensors.
func readable(t *testing.T, c *Content) {
	t.Helper()
	for _, candidate := range c.Candidates {
		for name, lazy := range candidate.Tensors {
			data, err := lazy.Read()
			if err == nil && len(data) != tensor.Size(lazy.Shape) {
				t.Errorf("tensor %q of %q has shape %v but %d numbers", name, candidate.Name, lazy.Shape, len(data))
			}
			if err == nil && !lazy.Float {
				t.Errorf("tensor %q of %q is read, though not of floating-point numbers", name, candidate.Name)
			}
		}
	}
}
