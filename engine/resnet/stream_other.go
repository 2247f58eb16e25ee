//go:build !linux

package resnet

// newStream makes the memory of weights that are read from end to end in every pass.
func newStream(n int) []float32 { return make([]float32, n) }
