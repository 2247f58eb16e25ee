// Package safetensors reads and writes the safetensors format: eight bytes with the length of a JSON header,
// the header, then the tensors' bytes end to end. The format is described at
// https://github.com/huggingface/safetensors#format. Package weights reads files through it, package model
// writes them.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// maxHeader bounds the header in bytes; ResNet-18's has 11 KB.
const maxHeader = 4 << 20

// metadataKey is the header's entry with metadata instead of a tensor.
const metadataKey = "__metadata__"

// Content is the content of a file.
type Content struct {
	Tensors  map[string]tensor.Tensor   // F32, and F64, F16, BF16 converted to float32
	Int8     map[string]tensor.Of[int8] // I8: quantized weights
	Metadata map[string]string          // may be nil
}

// entry is a tensor's description in the header.
type entry struct {
	DType   raw.DType `json:"dtype"`
	Shape   []int     `json:"shape"`
	Offsets [2]int    `json:"data_offsets"` // first byte and the one after the last, counted from the header's end
}

// Detect reports whether data begins like a safetensors file.
func Detect(data []byte) bool {
	return len(data) > 8 && binary.LittleEndian.Uint64(data) <= maxHeader && data[8] == '{'
}

// Index is the content of a file whose float tensors are not read yet.
type Index struct {
	Tensors  map[string]raw.Lazy        // all but I8, with those of other integer types; safe for concurrent use
	Int8     map[string]tensor.Of[int8] // I8: quantized weights
	Metadata map[string]string          // may be nil
}

// Parse reads a whole file. Tensors share data's memory where they can. Tensors of integer types other than
// int8 (PyTorch's num_batches_tracked) are not weights and are left out.
func Parse(data []byte) (*Content, error) {
	x, err := Open(data)
	if err != nil {
		return nil, err
	}
	c := &Content{Tensors: make(map[string]tensor.Tensor, len(x.Tensors)), Int8: x.Int8, Metadata: x.Metadata}
	for name, lazy := range x.Tensors {
		if !lazy.Float {
			continue
		}
		floats, err := lazy.Read()
		if err != nil {
			return nil, fmt.Errorf("tensor %q %w", name, err)
		}
		c.Tensors[name] = tensor.Tensor{Shape: lazy.Shape, Data: floats}
	}
	return c, nil
}

// Open reads a file's header. As the format requires, the tensors must cover the bytes after it without gaps or
// overlaps. What is read later shares data's memory where it can.
func Open(data []byte) (*Index, error) {
	header, body, err := split(data)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(header, &fields); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	c := &Index{Tensors: map[string]raw.Lazy{}, Int8: map[string]tensor.Of[int8]{}}
	var budget raw.Budget
	if m, ok := fields[metadataKey]; ok {
		if err := json.Unmarshal(m, &c.Metadata); err != nil {
			return nil, fmt.Errorf("safetensors %s: %w", metadataKey, err)
		}
		delete(fields, metadataKey)
	}
	entries := make(map[string]entry, len(fields))
	for name, field := range fields {
		var e entry
		if err := json.Unmarshal(field, &e); err != nil {
			return nil, fmt.Errorf("safetensors entry %q: %w", name, err)
		}
		entries[name] = e
	}
	if err := checkCover(entries, len(body)); err != nil {
		return nil, err
	}
	for name, e := range entries {
		if err := c.add(name, e, body, &budget); err != nil {
			return nil, fmt.Errorf("tensor %q %w", name, err)
		}
	}
	return c, nil
}

// split separates the header from the bytes after it.
func split(data []byte) (header, body []byte, err error) {
	if len(data) < 8 {
		return nil, nil, fmt.Errorf("safetensors file has %d bytes, even the header's length needs 8", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return nil, nil, fmt.Errorf("safetensors header of %d bytes, want at most %d", n, maxHeader)
	}
	if uint64(len(data)-8) < n {
		return nil, nil, fmt.Errorf("safetensors file ends in its header: %d bytes there, want %d", len(data)-8, n)
	}
	return data[8 : 8+n], data[8+n:], nil
}

// checkCover checks that the tensors are contiguous and fill a body of the given size.
func checkCover(entries map[string]entry, size int) error {
	names := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		x, y := entries[a].Offsets, entries[b].Offsets
		return slices.Compare(x[:], y[:])
	})
	end := 0
	for _, name := range names {
		o := entries[name].Offsets
		if o[0] != end || o[1] < o[0] {
			return fmt.Errorf("tensor %q is at bytes %d to %d, want it to begin at %d", name, o[0], o[1], end)
		}
		if o[1] > size {
			return fmt.Errorf("tensor %q ends at byte %d, the file has %d: is it truncated?", name, o[1], size)
		}
		end = o[1]
	}
	if end != size {
		return fmt.Errorf("safetensors file has %d bytes of tensors, its header describes %d", size, end)
	}
	return nil
}

// add notes one tensor whose offsets have been checked.
func (c *Index) add(name string, e entry, body []byte, budget *raw.Budget) error {
	n, err := raw.Elements(e.Shape)
	if err != nil {
		return err
	}
	data := body[e.Offsets[0]:e.Offsets[1]]
	size := e.DType.Size()
	if size == 0 {
		return fmt.Errorf("has unknown type %q", e.DType)
	}
	if len(data) != n*size {
		return fmt.Errorf("has %d bytes, its shape %v of %s wants %d", len(data), e.Shape, e.DType, n*size)
	}
	if e.DType == raw.I8 {
		c.Int8[name] = tensor.Of[int8]{Shape: e.Shape, Data: raw.Int8s(data)}
		return nil
	}
	c.Tensors[name] = raw.Lazy{Shape: e.Shape, Float: e.DType.IsFloat(), Read: func() ([]float32, error) {
		if err := budget.Spend(n); err != nil {
			return nil, err
		}
		return raw.Floats(data, e.DType)
	}}
	return nil
}

// Write writes c as one file, float tensors as F32, in the order of their names, so that equal contents give
// equal bytes.
func Write(w io.Writer, c *Content) error {
	header := make(map[string]any, len(c.Tensors)+len(c.Int8)+1)
	if len(c.Metadata) > 0 {
		header[metadataKey] = c.Metadata
	}
	var body [][]byte
	end := 0
	add := func(name string, d raw.DType, shape []int, data []byte) {
		if shape == nil {
			shape = []int{} // null is no shape
		}
		header[name] = entry{d, shape, [2]int{end, end + len(data)}}
		end += len(data)
		body = append(body, data)
	}
	// Floats first: they stay aligned to four bytes whatever the number of int8 weights.
	for _, name := range slices.Sorted(maps.Keys(c.Tensors)) {
		add(name, raw.F32, c.Tensors[name].Shape, raw.Bytes(c.Tensors[name].Data))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Int8)) {
		add(name, raw.I8, c.Int8[name].Shape, raw.Int8Bytes(c.Int8[name].Data))
	}
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("safetensors header: %w", err)
	}
	// Spaces bring the tensors to a multiple of 64 bytes, a cache line, so that a mapped file is aligned.
	text = append(text, bytes.Repeat([]byte{' '}, -(8+len(text))&63)...)
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for _, data := range body {
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}
