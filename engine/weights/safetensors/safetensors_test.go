package safetensors

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

func sample() *Content {
	return &Content{
		Tensors: map[string]tensor.Tensor{
			"a.weight": {Shape: []int{2, 3}, Data: []float32{1, -2, 3.5, 0, 1e-30, 7}},
			"scalar":   {Shape: []int{}, Data: []float32{42}},
			"empty":    {Shape: []int{0, 4}, Data: []float32{}},
		},
		Int8:     map[string]tensor.Of[int8]{"q": {Shape: []int{3}, Data: []int8{-128, 0, 127}}},
		Metadata: map[string]string{"weights": "sample", "licence": "none"},
	}
}

func write(tb testing.TB, c *Content) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := Write(&b, c); err != nil {
		tb.Fatalf("Write: %v", err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	data := write(t, sample())
	got, err := Parse(data)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("Parse(Write(c)) differs (-want +got):\n%s", diff)
	}
	if n := binary.LittleEndian.Uint64(data); (8+n)%64 != 0 {
		t.Errorf("tensors begin at byte %d, want a multiple of 64", 8+n)
	}
	if !bytes.Equal(data, write(t, sample())) {
		t.Error("equal contents gave different files")
	}
}

// TestOpen checks that all tensors are offered, that those of half precision are widened when they are read, and that integers
// cannot be.
func TestOpen(t *testing.T) {
	t.Parallel()
	data := file(`{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[4,8]},`+
		`"n":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}`, 0)
	data = append(data, 0x00, 0x3c, 0x00, 0xc0, 0x80, 0x3f, 0x00, 0xc0, 1, 0, 0, 0, 0, 0, 0, 0)
	x, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, shape := range map[string][]int{"h": {2}, "b": {1, 2}} {
		lazy := x.Tensors[name]
		got, err := lazy.Read()
		if err != nil || !slices.Equal(got, []float32{1, -2}) || !slices.Equal(lazy.Shape, shape) || !lazy.Float {
			t.Errorf("tensor %q has shape %v and numbers %v, error %v", name, lazy.Shape, got, err)
		}
	}
	if lazy, ok := x.Tensors["n"]; !ok || lazy.Float {
		t.Errorf("tensor n is %v, want one of integers", lazy)
	} else if _, err := lazy.Read(); err == nil {
		t.Error("integers are read as floating-point numbers")
	}
}

// file builds a safetensors file of a header and a number of zero bytes behind it.
func file(header string, body int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, body)...)
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		data  []byte
		wrong string // part of the error; empty: none
	}{
		{"no tensors", file(`{}`, 0), ""},
		{"half", file(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 4), ""},
		{"integers are left out", file(`{"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}`, 8), ""},
		{"nothing", nil, "has 0 bytes"},
		{"header too long", binary.LittleEndian.AppendUint64(nil, 1<<60), "at most"},
		{"ends in header", file(`{}`, 0)[:9], "ends in its header"},
		{"no JSON", file(`{"a":`, 0), "header"},
		{"unknown type", file(`{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, 1), `tensor "a" has unknown type "F8"`},
		{"truncated", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 7), `tensor "a" ends at byte 8`},
		{"more bytes", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 5), "describes 4"},
		{"wrong size", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), `tensor "a" has 4 bytes`},
		{"overlap", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 6), `"b" is at`},
		{"gap", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), `"a" is at`},
		{"backwards", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,-4]}}`, 0), `"a" is at`},
		{"huge shape", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "elements"},
		{"negative shape", file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}`, 0), "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.data)
			switch {
			case tt.wrong == "" && err != nil:
				t.Errorf("Parse: %v, want no error", err)
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("Parse: error %v, want one with %q", err, tt.wrong)
			}
		})
	}
}

// FuzzParse checks that no bytes crash the parser, and that what it accepts survives being written.
func FuzzParse(f *testing.F) {
	f.Add(write(f, sample()))
	f.Add(file(`{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, 4))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		if _, err := Parse(write(t, c)); err != nil {
			t.Errorf("Parse(Write(c)): %v", err)
		}
	})
}
