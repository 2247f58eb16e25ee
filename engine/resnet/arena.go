package resnet

import "unsafe"

// arena allocates from large blocks of zeros, which lie in huge pages if the system has any. A pass reads and writes more memory than a
// CPU has translations of small pages for, most of all if it shares them with another thread; and prefetching stops at page ends. The zero
// value is usable. Allocations start at a multiple of 64.
type arena struct{ rest []byte }

// blockBytes is the least that is taken from the system.
const blockBytes = 2 << 20

func (a *arena) take(n int) []byte {
	if taken := aligned(n); taken > len(a.rest) {
		a.rest = newBlock(max(taken, blockBytes))
	}
	piece := a.rest[:n:n]
	a.rest = a.rest[aligned(n):]
	return piece
}

// number is what arenas hold.
type number interface {
	float32 | uint32 | int32 | uint16 | int16 | int8 | uint8
}

// aligned rounds n up to what an allocation of n bytes takes from an arena.
func aligned(n int) int { return (n + 63) &^ 63 }

// numbers takes memory for n numbers. If take returns none, because it only counts, so does this.
func numbers[T number](take func(bytes int) []byte, n int) []T {
	size := int(unsafe.Sizeof(*new(T)))
	piece := take(n * size)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(piece))), len(piece)/size)
}
