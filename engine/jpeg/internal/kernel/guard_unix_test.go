//go:build unix

package kernel

import (
	"os"
	"syscall"
	"testing"
)

// newGuard returns n bytes that end where a page begins that faults on every touch.
func newGuard(tb testing.TB, n int) *guard {
	tb.Helper()
	page := os.Getpagesize()
	usable := (n + 64 + page - 1) / page * page
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
	return &guard{margin: mem[usable-n-64 : usable-n], data: mem[usable-n : usable : usable]}
}
