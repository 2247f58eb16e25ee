//go:build unix

package kerneltest

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// faults says that memory ends with a page that faults.
const faults = true

// allocate returns at least n elements that end where a page begins that faults on every touch.
func allocate[T number](tb testing.TB, n int) []T {
	tb.Helper()
	page, size := os.Getpagesize(), int(unsafe.Sizeof(*new(T)))
	usable := (n*size + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, usable+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := syscall.Munmap(mem); err != nil {
			tb.Error(err)
		}
	})
	if err := syscall.Mprotect(mem[usable:], syscall.PROT_NONE); err != nil {
		tb.Fatal(err)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[0])), usable/size)
}
