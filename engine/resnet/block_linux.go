package resnet

import (
	"syscall"
	"unsafe"
)

// hugePage is the size of a huge page on common machines.
const hugePage = 2 << 20

// madvCollapse is Linux's MADV_COLLAPSE, since version 6.1; package syscall has no name for it.
const madvCollapse = 25

// newBlock makes n bytes of memory, in huge pages if the system has any. If they fill more than half of the last huge page, the block
// includes all of it.
func newBlock(n int) []byte {
	if last := n % hugePage; last > hugePage/2 {
		n += hugePage - last
	}
	x := make([]byte, n+hugePage)
	skip := int(-uintptr(unsafe.Pointer(&x[0])) % hugePage)
	x = x[skip : skip+n : skip+n]
	if huge := adviseHuge(x); len(huge) > 0 {
		_ = syscall.Madvise(huge, madvCollapse) // the heap may have used this memory before, in small pages
	}
	return x
}

// adviseHuge asks for huge pages for the part of x that fills whole ones, and returns that part. x must start at a page boundary. A partly
// filled huge page at the end would waste memory. The advice may be ignored.
func adviseHuge(x []byte) []byte {
	end := int((uintptr(unsafe.Pointer(unsafe.SliceData(x))) + uintptr(len(x))) % hugePage)
	if end >= len(x) {
		return nil
	}
	huge := x[:len(x)-end]
	_ = syscall.Madvise(huge, syscall.MADV_HUGEPAGE)
	return huge
}
