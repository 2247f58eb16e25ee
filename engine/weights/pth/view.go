package pth

import (
	"fmt"
	"slices"
	"sync"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// maxDims is more dimensions than any weight has, and bounds what a shape costs.
const maxDims = 16

// storage is a run of numbers, or a part of one, that tensors are views of.
type storage struct {
	key         string
	dtype       raw.DType
	elements    int64                  // of the whole run
	from, count int64                  // the part: its first element and their number
	inline      func() ([]byte, error) // the bytes of the whole run, if they stand in the pickle
}

// view is a tensor as the pickle describes it: element (i, j, ...) is number offset + i*stride[0] +
// j*stride[1] + ... of the storage's part.
type view struct {
	storage *storage
	offset  int64
	shape   []int
	stride  []int
	err     error // why it cannot be read
}

// newView checks that every element lies inside the storage. Views that show elements several times
// (expanded tensors) cannot be read: a few bytes of file could ask for any amount of memory.
func newView(s *storage, offset int64, shape, stride []int) *view {
	return &view{s, offset, shape, stride, checkView(s, offset, shape, stride)}
}

func checkView(s *storage, offset int64, shape, stride []int) error {
	n, err := raw.Elements(shape)
	if err != nil {
		return err
	}
	if len(shape) != len(stride) {
		return fmt.Errorf("has %d dimensions but %d strides", len(shape), len(stride))
	}
	if int64(n) > s.count {
		return fmt.Errorf("has shape %v, more elements than the %d of its storage", shape, s.count)
	}
	last := offset
	for i, d := range shape {
		if stride[i] < 0 || int64(stride[i]) > maxStored {
			return fmt.Errorf("has stride %d", stride[i])
		}
		last += int64(max(d-1, 0)) * int64(stride[i])
	}
	if n > 0 && (offset < 0 || offset > maxStored || last >= s.count) {
		return fmt.Errorf("reaches elements %d to %d, its storage has %d", offset, last, s.count)
	}
	return nil
}

// maxStored bounds the elements of a storage, of which a file of up to 1 GiB has less, so that products with
// raw.MaxElements fit an int64.
const maxStored = 1 << 34

// source gives the bytes of storages, each fetched (unpacked, its check sum verified) once, and counts what is read.
type source struct {
	fetch func(*storage) ([]byte, error)

	budget raw.Budget

	mu      sync.Mutex // guards what follows
	fetched map[string]fetched
}

type fetched struct {
	data []byte
	err  error
}

// bytes returns the bytes of the whole storage.
func (c *source) bytes(s *storage) ([]byte, error) {
	if s.inline != nil {
		return s.inline()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.fetched[s.key]
	if !ok {
		f.data, f.err = c.fetch(s)
		if c.fetched == nil {
			c.fetched = map[string]fetched{}
		}
		c.fetched[s.key] = f
	}
	return f.data, f.err
}

// lazy offers a view for reading.
func (c *source) lazy(v *view) raw.Lazy {
	return raw.Lazy{
		Shape: slices.Clone(v.shape),
		Float: v.storage.dtype.IsFloat(),
		Read:  func() ([]float32, error) { return c.read(v) },
	}
}

// read returns the numbers in row-major order whatever the strides.
func (c *source) read(v *view) ([]float32, error) {
	if v.err != nil {
		return nil, v.err
	}
	n := tensor.Size(v.shape)
	if err := c.budget.Spend(n); err != nil {
		return nil, err
	}
	s := v.storage
	b, err := c.bytes(s)
	if err != nil {
		return nil, err
	}
	size := s.dtype.Size()
	if int64(len(b)) != s.elements*int64(size) {
		return nil, fmt.Errorf("its storage has %d bytes, want %d", len(b), s.elements*int64(size))
	}
	if n == 0 {
		return []float32{}, nil
	}
	b = b[int(s.from+v.offset)*size:]
	if v.contiguous() {
		return raw.Floats(b[:n*size:n*size], s.dtype)
	}
	return raw.Floats(v.gather(b, n, size), s.dtype)
}

// gather copies the view's n elements of the given size, of which the first is at the beginning of b, to a row.
func (v *view) gather(b []byte, n, size int) []byte {
	row := make([]byte, 0, n*size)
	index := make([]int, len(v.shape))
	at := 0
	for range n {
		row = append(row, b[at*size:(at+1)*size]...)
		// Count up like an odometer, moving at along.
		for d := len(index) - 1; d >= 0; d-- {
			at += v.stride[d]
			if index[d]++; index[d] < v.shape[d] {
				break
			}
			at -= index[d] * v.stride[d]
			index[d] = 0
		}
	}
	return row
}

// contiguous reports whether the elements lie one after another in row-major order. The stride of a dimension
// of one element says nothing.
func (v *view) contiguous() bool {
	want := 1
	for d := len(v.shape) - 1; d >= 0; d-- {
		if v.shape[d] > 1 && v.stride[d] != want {
			return false
		}
		want *= v.shape[d]
	}
	return true
}
