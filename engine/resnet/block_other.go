//go:build !linux

package resnet

// newBlock makes n bytes of memory.
func newBlock(n int) []byte { return make([]byte, n) }

func adviseHuge([]byte) []byte { return nil }
