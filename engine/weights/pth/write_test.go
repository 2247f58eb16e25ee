package pth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// written is a few tensors with all that can differ: dimensions, none, and no elements.
func written() map[string]tensor.Tensor {
	return map[string]tensor.Tensor{
		"fc.weight":    {Shape: []int{2, 3}, Data: []float32{1, 2, 3, -4, 5.5, 6}},
		"conv1.weight": {Shape: []int{2, 1, 2, 2}, Data: []float32{1, 2, 3, 4, 5, 6, 7, 8}},
		"scalar":       {Shape: []int{}, Data: []float32{0.5}},
		"empty":        {Shape: []int{0, 4}},
	}
}

// TestWriteReadsBack checks that the reader finds what was written.
func TestWriteReadsBack(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Write(&b, written()); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind != Zip || len(c.Candidates) != 1 || len(c.Candidates[0].Tensors) != 4 {
		t.Fatalf("kind %v, %d candidates, want a zip with one of 4 tensors", c.Kind, len(c.Candidates))
	}
	for name, want := range written() {
		lazy := c.Candidates[0].Tensors[name]
		got, err := lazy.Read()
		if err != nil || !slices.Equal(lazy.Shape, want.Shape) || !slices.Equal(got, want.Data) {
			t.Errorf("%s: %v of shape %v, %v, want %v of %v", name, got, lazy.Shape, err, want.Data, want.Shape)
		}
	}
}

// TestWriteGolden pins the bytes, of a kind that Python's zipfile and pickle have read.
func TestWriteGolden(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Write(&b, written()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	if got, want := hex.EncodeToString(sum[:8]), "c404e60c63352ef8"; got != want {
		t.Errorf("digest %s, want %s: if the change is wanted, load such a file with PyTorch first", got, want)
	}
}

// TestWriteFails checks that an error of the writer is returned.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	for room := 0; room < 1000; room += 50 {
		if err := Write(&limited{room, full}, written()); !errors.Is(err, full) {
			t.Errorf("after %d bytes: %v, want %v", room, err, full)
		}
	}
}

// limited takes a number of bytes.
type limited struct {
	room int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.room -= len(p); l.room < 0 {
		return 0, l.err
	}
	return len(p), nil
}
