package kernel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// pixels fills a row with pixels whose channels are often equal to, or a little different from those of the pixel before.
func pixels(r *rand.Rand, row []uint32) {
	size := []int{1, 2, 8, 255}[r.IntN(4)]
	last := r.Uint32()
	for i := range row {
		for shift := 0; shift < 32; shift += 8 {
			last += uint32(r.IntN(2*size)-size) << shift
		}
		if row[i] = last; r.IntN(8) == 0 {
			row[i] = r.Uint32() | []uint32{0, 0xFF0000FF, 0xFFFFFF00, 0xFFFFFFFF}[r.IntN(4)]
		}
	}
}

// TestRows compares every level with plain Go, for rows of all lengths with just the spare pixels that kernels may touch.
func TestRows(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		var regions [4]*kerneltest.Region[uint32]
		for i := range regions {
			regions[i] = kerneltest.NewRegion[uint32](t, 130+Spare, 0xA5A5A5A5)
		}
		for n := range 131 {
			row := func(i int) []uint32 {
				s := regions[i].Slice(n + Spare)
				pixels(r, s)
				return s
			}
			dst, src, above := row(0), row(1), row(2)
			want := slices.Clone(dst)
			check := func(what string, from, end int) {
				t.Helper()
				if !slices.Equal(dst[from:end], want[from:end]) {
					t.Fatalf("%s: got %08x, want %08x", what, dst[from:end], want[from:end])
				}
				for _, region := range regions {
					region.Check(t, what)
				}
			}
			addGreenGeneric(want, src, n)
			AddGreen(dst, src)
			check(fmt.Sprintf("AddGreen of %d pixels", n), 0, n)
			for bits := uint(2); bits < 10; bits++ {
				factors := regions[3].Slice((n + 1<<bits - 1) >> bits)
				pixels(r, factors)
				addColorsGeneric(want, src, factors, bits, n)
				AddColors(dst, src, factors, bits)
				check(fmt.Sprintf("AddColors of %d pixels in tiles of %d", n, 1<<bits), 0, n)
			}
			for mode := range 16 {
				for range 10 {
					if n < 2 {
						break
					}
					from := 1 + r.IntN(n-1)
					end := from + r.IntN(n-from+1)
					predictGeneric(mode, want, src, above, from, end)
					Predict(mode, dst, src, above, from, end)
					check(fmt.Sprintf("Predict %d of pixels %d to %d of %d", mode, from, end, n), 0, end)
					copy(want, dst) // what is behind the end may differ
				}
			}
		}
	})
}

// TestRGB compares every level with plain Go, for rows of all lengths at the edge of readable memory.
func TestRGB(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 14))
		source, output := kerneltest.NewRegion[uint32](t, 130, 0xA5A5A5A5), kerneltest.NewRegion[byte](t, 3*130, pattern)
		for n := range 131 {
			pix, dst := source.Slice(n), output.Slice(3*n)
			pixels(r, pix)
			RGB(dst, pix)
			var want []byte
			for _, p := range pix {
				want = append(want, byte(p>>16), byte(p>>8), byte(p))
			}
			if !bytes.Equal(dst, want) {
				t.Fatalf("%d pixels: got %v, want %v", n, dst, want)
			}
			output.Check(t, "RGB")
		}
	})
}

// TestPredictions goes through all values of a channel and its neighbors for the modes that clip.
func TestPredictions(t *testing.T) {
	each(t, func(t *testing.T) {
		var dst, src, above, want [2 + Spare]uint32
		const each, fourth = 0x01010101, 0xC0804000 // for the four channels
		for _, mode := range []int{12, 13} {
			for i := range uint32(1 << 22) {
				dst[0], above[0], above[1] = i>>14*each, i>>6&255*each, i&63*each+fourth
				want[0] = dst[0]
				Predict(mode, dst[:], src[:], above[:], 1, 2)
				predictGeneric(mode, want[:], src[:], above[:], 1, 2)
				if dst[1] != want[1] {
					t.Fatalf("mode %d of %08x, above %08x: got %08x, want %08x", mode, dst[0], above[:2], dst[1], want[1])
				}
			}
		}
	})
}

// TestNearest checks which of two pixels is taken if both are equally near, as in libwebp.
func TestNearest(t *testing.T) {
	each(t, func(t *testing.T) {
		const left, top = 0x03, 0x0300
		for topLeft, want := range map[uint32]uint32{0: top, 1: top, 0x0100: left} {
			dst, src, above := make([]uint32, 2+Spare), make([]uint32, 2+Spare), make([]uint32, 2+Spare)
			dst[0], above[0], above[1] = left, topLeft, top
			if Predict(11, dst, src, above, 1, 2); dst[1] != want {
				t.Errorf("mode 11 of %#x, %#x, %#x: %#x, want %#x", left, top, topLeft, dst[1], want)
			}
		}
	})
}
