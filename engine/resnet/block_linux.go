package resnet

import (
	"syscall"
	"unsafe"
)

// hugePage is the size of a huge page on common machines.
const hugePage = 2 << 20

// newBlock makes n bytes of memory, in huge pages if the system has any.
func newBlock(n int) []byte {
	x := make([]byte, n+hugePage)
	skip := int(-uintptr(unsafe.Pointer(&x[0])) % hugePage)
	x = x[skip : skip+n : skip+n]
	adviseHuge(x)
	return x
}

// adviseHuge asks for huge pages where x, which begins a page, fills them; the rest of the last one would be unused
// memory. The advice may be ignored.
func adviseHuge(x []byte) {
	end := int((uintptr(unsafe.Pointer(unsafe.SliceData(x))) + uintptr(len(x))) % hugePage)
	if end < len(x) {
		_ = syscall.Madvise(x[:len(x)-end], syscall.MADV_HUGEPAGE)
	}
}
