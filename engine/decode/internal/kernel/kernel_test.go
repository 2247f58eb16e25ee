package kernel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// each runs a test on every level of this machine, one after the other, and restores the one it found.
func each(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	found := simd
	t.Cleanup(func() { simd = found })
	for _, level := range Levels() {
		t.Run(level.String(), func(t *testing.T) {
			Use(level)
			test(t)
		})
	}
}

// pattern fills what must not be written.
const pattern = 0xA5

func random(r *rand.Rand, dst []byte) {
	for i := range dst {
		switch v := r.Uint32(); v >> 28 { // extremes are frequent
		case 0:
			dst[i] = 0
		case 1:
			dst[i] = 255
		default:
			dst[i] = byte(v)
		}
	}
}

// TestEqualsGeneric compares every level with plain Go, for every length and tail, with all slices at the edge of readable
// memory.
func TestEqualsGeneric(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		var src [3][]byte
		var sources [3]*kerneltest.Region[byte]
		for i := range sources {
			sources[i] = kerneltest.NewRegion[byte](t, 130, pattern)
		}
		output := kerneltest.NewRegion[byte](t, 3*130, pattern)
		for n := range 131 {
			for i := range src {
				src[i] = sources[i].Slice(n)
				random(r, src[i])
			}
			what := fmt.Sprintf("YUVToRGB of %d pixels", n)
			dst, want := output.Slice(3*n), make([]byte, 3*n)
			yuvToRGBGeneric(want, src[0], src[1], src[2])
			YUVToRGB(dst, src[0], src[1], src[2])
			if !bytes.Equal(dst, want) {
				t.Fatalf("%s: got %v, want %v", what, dst, want)
			}
			output.Check(t, what)
			if n == 0 {
				continue
			}
			what = fmt.Sprintf("Upsample of %d samples", n)
			dst, want = output.Slice(2*n), make([]byte, 2*n)
			upsampleGeneric(want[1:2*n-1], src[0], src[1])
			want[0], want[2*n-1] = edge(src[0][0], src[1][0]), edge(src[0][n-1], src[1][n-1])
			Upsample(dst, src[0], src[1])
			if !bytes.Equal(dst, want) {
				t.Fatalf("%s: got %v, want %v", what, dst, want)
			}
			output.Check(t, what)
		}
	})
}

// edge is the sample at the end of a row: 3:1, rounded.
func edge(near, far byte) byte { return byte((3*int(near) + int(far) + 2) / 4) }

// TestAllColors goes through all 2^24 values of a pixel.
func TestAllColors(t *testing.T) {
	each(t, func(t *testing.T) {
		var y, u, v [256]byte
		var got, want [3 * 256]byte
		for i := range y {
			y[i] = byte(i)
		}
		for first := range 256 {
			for second := range 256 {
				for i := range u {
					u[i], v[i] = byte(first), byte(second)
				}
				YUVToRGB(got[:], y[:], u[:], v[:])
				yuvToRGBGeneric(want[:], y[:], u[:], v[:])
				if got != want {
					t.Fatalf("u %d, v %d: got %v, want %v", first, second, got, want)
				}
			}
		}
	})
}

// TestWeights checks that a sample is 9 parts of the nearest one, 3 of those beside it and 1 of the one across.
func TestWeights(t *testing.T) {
	each(t, func(t *testing.T) {
		for n := 2; n < 40; n++ {
			near, far, dst := make([]byte, n), make([]byte, n), make([]byte, 2*n)
			near[n/2] = 160 // of which 9 and 3 sixteenths are 90 and 30
			Upsample(dst, near, far)
			for i, got := range dst {
				want := byte(0)
				switch i {
				case 2*(n/2) - 1, 2*(n/2) + 2:
					want = 30
				case 2 * (n / 2), 2*(n/2) + 1:
					want = 90
					if i == 2*n-1 {
						want = 120
					}
				}
				if got != want {
					t.Fatalf("%d samples: %d at %d, want %d", n, got, i, want)
				}
			}
		}
	})
}

// BenchmarkRow converts a row of 500 pixels.
func BenchmarkRow(b *testing.B) {
	y, u, v, dst := make([]byte, 500), make([]byte, 500), make([]byte, 500), make([]byte, 1500)
	found := simd
	defer func() { simd = found }()
	for _, level := range Levels() {
		Use(level)
		b.Run("YUVToRGB/"+level.String(), func(b *testing.B) {
			b.SetBytes(500)
			for b.Loop() {
				YUVToRGB(dst, y, u, v)
			}
		})
		b.Run("Upsample/"+level.String(), func(b *testing.B) {
			b.SetBytes(500)
			for b.Loop() {
				Upsample(u, y[:250], v[:250])
			}
		})
	}
}
