package pth

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// storage is a run of numbers that tensors are views of.
type storage struct {
	key      string
	dtype    raw.DType
	elements int
}

// view is a tensor as the pickle describes it: element (i, j, ...) is number offset + i*stride[0] +
// j*stride[1] + ... of the storage.
type view struct {
	storage *storage
	offset  int
	shape   []int
	stride  []int
}

// newView checks that every element lies inside the storage. Views that show elements several times
// (expanded tensors) are refused: a few bytes of file could ask for any amount of memory.
func newView(s *storage, offset int64, shape, stride []int) (*view, error) {
	n, err := raw.Elements(shape)
	if err != nil {
		return nil, err
	}
	if len(shape) != len(stride) {
		return nil, fmt.Errorf("has %d dimensions but %d strides", len(shape), len(stride))
	}
	if n > s.elements {
		return nil, fmt.Errorf("has shape %v, more elements than the %d of its storage", shape, s.elements)
	}
	last := offset
	for i, d := range shape {
		if stride[i] < 0 || stride[i] > raw.MaxElements {
			return nil, fmt.Errorf("has stride %d", stride[i])
		}
		last += int64(max(d-1, 0)) * int64(stride[i])
	}
	if n > 0 && (offset < 0 || offset > raw.MaxElements || last >= int64(s.elements)) {
		return nil, fmt.Errorf("reaches elements %d to %d, its storage has %d", offset, last, s.elements)
	}
	return &view{s, int(offset), shape, stride}, nil
}

// read makes the tensor, in row-major order whatever the strides.
func (v *view) read(bytesOf func(*storage) ([]byte, error)) (tensor.Tensor, error) {
	b, err := bytesOf(v.storage)
	if err != nil {
		return tensor.Tensor{}, err
	}
	size := v.storage.dtype.Size()
	if len(b) != v.storage.elements*size {
		return tensor.Tensor{}, fmt.Errorf("its storage has %d bytes, want %d", len(b), v.storage.elements*size)
	}
	n := tensor.Size(v.shape)
	if v.contiguous() {
		data, err := raw.Floats(b[v.offset*size:(v.offset+n)*size], v.storage.dtype)
		return tensor.Tensor{Shape: v.shape, Data: data}, err
	}
	all, err := raw.Floats(b, v.storage.dtype)
	if err != nil {
		return tensor.Tensor{}, err
	}
	t := tensor.Tensor{Shape: v.shape, Data: make([]float32, n)}
	index := make([]int, len(v.shape))
	at := v.offset
	for i := range t.Data {
		t.Data[i] = all[at]
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
	return t, nil
}

// contiguous reports whether the elements lie one after another in row-major order. The stride of a dimension
// of one element says nothing.
func (v *view) contiguous() bool {
	want := 1
	for d := len(v.shape) - 1; d >= 0; d-- {
		if v.shape[d] == 0 {
			return true
		}
		if v.shape[d] > 1 && v.stride[d] != want {
			return false
		}
		want *= v.shape[d]
	}
	return true
}
