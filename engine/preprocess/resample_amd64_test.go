//go:build !purego && linux

package preprocess

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"
)

// atEndOfMemory returns n bytes behind which memory cannot be read.
func atEndOfMemory(tb testing.TB, n int) []byte {
	tb.Helper()
	page := syscall.Getpagesize()
	whole := (n+page-1)/page*page + page
	m, err := syscall.Mmap(-1, 0, whole, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = syscall.Munmap(m) })
	if err := syscall.Mprotect(m[whole-page:], syscall.PROT_NONE); err != nil {
		tb.Fatal(err)
	}
	return m[whole-page-n : whole-page : whole-page]
}

// TestVectorsEqualGeneric compares the forms on random pictures of random sizes, enlarged and reduced, that end where
// memory ends. It switches between the forms, so that it does not run beside other tests.
func TestVectorsEqualGeneric(t *testing.T) {
	if !vectors {
		t.Skip("this CPU has no AVX2, or RESNET18_CPU forbids it")
	}
	defer func() { vectors = true }()
	rng := rand.New(rand.NewPCG(3, 4))
	var r Resizer
	for range 120 {
		r.Spec = randomSpec(rng)
		limit := []int{4, 40, 400, 1000}[rng.IntN(4)]
		w, h := 1+rng.IntN(limit), 1+rng.IntN(limit)
		stride := 3*w + rng.IntN(2)*rng.IntN(50)
		pix := atEndOfMemory(t, stride*(h-1)+3*w)
		for i := range pix {
			pix[i] = byte(rng.Uint32() >> rng.IntN(25)) // with many values near 0
		}
		if rng.IntN(2) == 0 {
			for i := range pix {
				pix[i] ^= 255 // near 255
			}
		}
		var got, want Input
		vectors = true
		r.Crop(&got, pix, stride, w, h)
		vectors = false
		r.Crop(&want, pix, stride, w, h)
		if !bytes.Equal(got, want) {
			t.Errorf("%+v of %dx%d, stride %d: vectors and plain Go differ", r.Spec, w, h, stride)
		}
	}
}
