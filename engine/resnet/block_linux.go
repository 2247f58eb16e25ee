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
	// Only a wish: where it is refused the memory is as good as any other.
	_ = syscall.Madvise(x, syscall.MADV_HUGEPAGE)
	return x
}
