package resnet

import (
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// TestPackedWeightsTakeWhatTheyFill checks that nothing is resident behind packed weights, not even the rest of a huge page.
func TestPackedWeightsTakeWhatTheyFill(t *testing.T) {
	t.Parallel()
	q := randomInt8(t)
	mapped, err := syscall.Mmap(-1, 0, 256<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mapped)
	skip := int(-uintptr(unsafe.Pointer(&mapped[0])) % hugePage)
	m := Memory{Bytes: mapped[skip:]}
	if _, err := New(q, &m); err != nil {
		t.Fatal(err)
	}
	page := syscall.Getpagesize()
	behind := m.Bytes[(m.Used+page-1)/page*page:]
	resident := make([]byte, (len(behind)+page-1)/page)
	_, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&behind[0])), uintptr(len(behind)), uintptr(unsafe.Pointer(&resident[0])))
	if errno != 0 {
		t.Skipf("this system does not say what is resident: %v", errno)
	}
	if i := slices.IndexFunc(resident, func(r byte) bool { return r&1 != 0 }); i >= 0 {
		t.Errorf("%d bytes of packed weights, and %d bytes behind them memory is taken", m.Used, i*page)
	}
}

// TestBlocksFillHugePages checks that a block has the length that was asked for, or ends with a huge page of which it fills more than half.
func TestBlocksFillHugePages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ bytes, want int }{
		{1, 1}, {hugePage / 2, hugePage / 2}, {hugePage/2 + 1, hugePage}, {hugePage, hugePage}, {hugePage + 64, hugePage + 64},
		{3*hugePage - 1, 3 * hugePage},
	} {
		x := newBlock(c.bytes)
		if len(x) != c.want || uintptr(unsafe.Pointer(&x[0]))%hugePage != 0 {
			t.Errorf("a block of %d bytes has %d and begins at %p, want %d from the start of a huge page", c.bytes, len(x), &x[0], c.want)
		}
		if i := slices.IndexFunc(x, func(b byte) bool { return b != 0 }); i >= 0 {
			t.Errorf("byte %d of a block of %d is %d", i, c.bytes, x[i])
		}
	}
}
