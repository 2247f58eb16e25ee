package resnet

import (
	"syscall"
	"unsafe"
)

// hugePage is the size that the kernel calls huge on the machines we know.
const hugePage = 2 << 20

// newBlock makes n bytes of memory, in huge pages if the system has some to give.
func newBlock(n int) []byte {
	x := make([]byte, n+hugePage)
	skip := int(-uintptr(unsafe.Pointer(&x[0])) % hugePage)
	x = x[skip : skip+n : skip+n]
	wishHuge(x)
	return x
}

// wishHuge wishes for huge pages where x, which begins a page, fills them. The rest of the last one would be memory that
// nobody uses. Where the wish is refused the memory is as good as any other.
func wishHuge(x []byte) {
	end := int((uintptr(unsafe.Pointer(unsafe.SliceData(x))) + uintptr(len(x))) % hugePage)
	if end < len(x) {
		_ = syscall.Madvise(x[:len(x)-end], syscall.MADV_HUGEPAGE)
	}
}
