// Package prefetch brings memory into a cache before it is used. It pays off where the hardware does not foresee the next
// access: pixels that a transform reads by turns from several rows, and memory that was last used long ago.
package prefetch

import "unsafe"

//go:generate sh -c "cd _asm && go run . -out ../prefetch_amd64.s -stubs ../prefetch_amd64.go -pkg prefetch"

// line is the size of a cache line in bytes.
const line = 64

// Slice starts loading a slice into the second-level cache and does not wait. Without assembly it does nothing.
func Slice[T float32 | int8 | uint8](s []T) {
	if len(s) == 0 {
		return
	}
	first := unsafe.Pointer(unsafe.SliceData(s))
	lines((*byte)(first), span(uintptr(first), len(s)*int(unsafe.Sizeof(s[0]))))
}

// span is the number of lines that n bytes at an address are in.
func span(address uintptr, n int) int { return (int(address%line) + n + line - 1) / line }
