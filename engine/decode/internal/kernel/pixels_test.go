package kernel

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// TestLayouts compares rows of every length and random layouts of every size with the plain meaning, with all slices at the edge of
// readable memory.
func TestLayouts(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		source, output := kerneltest.NewRegion[byte](t, 8*130, pattern), kerneltest.NewRegion[byte](t, 3*130, pattern)
		for size := 1; size <= 8; size++ {
			for n := range 131 {
				at := [3]int{r.IntN(size), r.IntN(size), r.IntN(size)}
				l := NewLayout(size, at[0], at[1], at[2])
				pixels, dst, want := source.Slice(size*n), output.Slice(3*n), []byte(nil)
				random(r, pixels)
				for i := range n {
					for _, color := range at {
						want = append(want, pixels[size*i+color])
					}
				}
				before := bytes.Clone(pixels)
				l.RGB(dst, pixels)
				if !bytes.Equal(dst, want) {
					t.Fatalf("%d pixels of %d bytes, colors at %d:\n% x, want\n% x", n, size, at, dst, want)
				}
				output.Check(t, "RGB")
				if !bytes.Equal(pixels, before) {
					t.Fatalf("%d pixels of %d bytes: RGB changed its input", n, size)
				}
			}
		}
	})
}

// TestLayoutInside holds that nothing beyond dst is written where memory goes on, and that bytes after the last pixel are ignored.
func TestLayoutInside(t *testing.T) {
	each(t, func(t *testing.T) {
		l := NewLayout(4, 2, 1, 0)
		for n := range 40 {
			memory := bytes.Repeat([]byte{pattern}, 3*n+64)
			l.RGB(memory[:3*n], make([]byte, 4*n+3))
			if !bytes.Equal(memory[:3*n], make([]byte, 3*n)) || !bytes.Equal(memory[3*n:], bytes.Repeat([]byte{pattern}, 64)) {
				t.Fatalf("%d pixels: % x, want zeros and nothing beyond", n, memory)
			}
		}
	})
}

// BenchmarkRGB converts a row of 500 pixels.
func BenchmarkRGB(b *testing.B) {
	pixels, dst := make([]byte, 4*500), make([]byte, 3*500)
	found := simd
	defer func() { simd = found }()
	for _, level := range Levels() {
		Use(level)
		for _, size := range []int{1, 3, 4} {
			l := NewLayout(size, size-1, size/2, 0)
			b.Run(string(rune('0'+size))+"/"+level.String(), func(b *testing.B) {
				b.SetBytes(500)
				for b.Loop() {
					l.RGB(dst, pixels[:size*500])
				}
			})
		}
	}
}
