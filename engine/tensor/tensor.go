// Package tensor is a shape with data: the content of weight files, from which layers are built. It does no
// arithmetic.
package tensor

import "fmt"

// Tensor is an array of float32, the type of nearly all weights.
type Tensor = Of[float32]

// Of is a dense array in row-major order: the last dimension varies fastest, as in PyTorch, safetensors and
// ONNX. A scalar has an empty Shape and one element.
type Of[T any] struct {
	Shape []int
	Data  []T // len(Data) == Size(Shape); may alias a read-only mapping: never written
}

// New makes a zeroed float32 tensor of the given shape.
func New(shape ...int) Tensor {
	return Tensor{Shape: shape, Data: make([]float32, Size(shape))}
}

// Size is the number of elements of a shape: the product of its dimensions.
func Size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Check returns an error when t does not have the wanted shape, naming both.
func (t Of[T]) Check(want ...int) error {
	if len(t.Shape) == len(want) {
		same := true
		for i, d := range want {
			same = same && t.Shape[i] == d
		}
		if same && len(t.Data) == Size(want) {
			return nil
		}
	}
	return fmt.Errorf("has shape %v, want %v", t.Shape, want)
}
