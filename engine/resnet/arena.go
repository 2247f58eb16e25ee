package resnet

import "unsafe"

// arena allocates from large blocks of zeros, which lie in huge pages if the system has any. Weights are read from end
// to end in every pass; in small pages that takes some percent more time, for address translation and because
// prefetching stops at page ends. The zero value is usable. Allocations start at a multiple of 64.
type arena struct{ rest []byte }

// blockBytes is the least that is taken from the system.
const blockBytes = 2 << 20

func (a *arena) take(n int) []byte {
	const align = 64
	whole := (n + align - 1) &^ (align - 1)
	if whole > len(a.rest) {
		a.rest = newBlock(max(whole, blockBytes))
	}
	piece := a.rest[:n:n]
	a.rest = a.rest[whole:]
	return piece
}

// numbers takes memory for n numbers.
func numbers[T float32 | uint32 | uint16 | int16 | int8](take func(bytes int) []byte, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(take(n*int(unsafe.Sizeof(T(0))))))), n)
}
