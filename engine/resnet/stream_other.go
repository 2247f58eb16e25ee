//go:build !linux

package resnet

// newStream makes n bytes of memory for weights, which are read from end to end in every pass.
func newStream(n int) []byte { return make([]byte, n) }
