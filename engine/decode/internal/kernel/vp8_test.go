package kernel

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// smooth fills a plane with samples whose differences are of all sizes, small ones most often.
func smooth(r *rand.Rand, pix []byte, stride int) {
	size := []int{1, 3, 8, 30, 255}[r.IntN(5)]
	base := r.IntN(256)
	for i := range pix {
		if i%stride == 0 {
			base = r.IntN(256)
		}
		base = min(max(base+r.IntN(2*size+1)-size, 0), 255)
		pix[i] = byte(base)
	}
}

// anyStrength returns parameters of any filter.
func anyStrength(r *rand.Rand) *Strength {
	level := r.IntN(64)
	s := &Strength{Interior: uint8(1 + r.IntN(63)), Threshold: uint8(r.IntN(3)), Inner: r.IntN(3) > 0}
	s.Limit = uint8(2*level) + s.Interior
	return s
}

// TestFilters compares every level with plain Go, where nothing is outside of a macroblock but what filters need.
func TestFilters(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		var regions [2]*kerneltest.Region[byte]
		for i := range regions {
			regions[i] = kerneltest.NewRegion[byte](t, 40*40, pattern)
		}
		for n := range 20_000 {
			left, top, s, chroma := r.IntN(2) > 0, r.IntN(2) > 0, anyStrength(r), r.IntN(2) > 0
			size, stride := 16, 20+r.IntN(20)
			if chroma {
				size, stride = 8, 12+r.IntN(28)
			}
			at := r.IntN(2)
			if left {
				at += 4
			}
			if top {
				at += 4 * stride
			}
			var planes, want [2][]byte
			for i := range planes {
				planes[i] = regions[i].Slice(at + (size-1)*stride + size + r.IntN(2)*stride)
				smooth(r, planes[i], stride)
				want[i] = slices.Clone(planes[i])
			}
			simple := r.IntN(4) == 0
			switch {
			case chroma:
				FilterChroma(planes[0], planes[1], at, stride, s, left, top)
				filterChromaGeneric(want[0], want[1], at, stride, s, left, top)
			case simple:
				FilterSimple(planes[0], at, stride, s, left, top)
				filterSimpleBlockGeneric(want[0], at, stride, s, left, top)
			default:
				FilterLuma(planes[0], at, stride, s, left, top)
				filterLumaGeneric(want[0], at, stride, s, left, top)
			}
			for i := range planes {
				if !bytes.Equal(planes[i], want[i]) {
					t.Fatalf("%d: chroma %t, simple %t, %+v, left %t, top %t, stride %d: got %v, want %v", n, chroma, simple, s, left, top, stride, planes[i], want[i])
				}
				regions[i].Check(t, "filter")
			}
		}
	})
}

// TestResiduals compares transforms and predictions with plain Go.
func TestResiduals(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		samples := kerneltest.NewRegion[byte](t, 17*Stride, pattern)
		for range 20_000 {
			var c Block
			for i := range c {
				c[i] = int16(r.Uint32()) >> r.IntN(16)
			}
			got := samples.Slice(3*Stride + 4)
			random(r, got)
			want := slices.Clone(got)
			Transform(got, &c)
			transformGeneric((*[3*Stride + 4]byte)(want), &c)
			if !bytes.Equal(got, want) {
				t.Fatalf("Transform of %v: got %v, want %v", c, got, want)
			}
			samples.Check(t, "Transform")
			size := []int{4, 8, 16}[r.IntN(3)]
			got = samples.Slice(size*Stride + size + 1)
			random(r, got)
			want = slices.Clone(got)
			TrueMotion(got, size)
			trueMotionGeneric(want, size)
			if !bytes.Equal(got, want) {
				t.Fatalf("TrueMotion of %d: got %v, want %v", size, got, want)
			}
			samples.Check(t, "TrueMotion")
		}
	})
}

// TestTransformOfDC checks that a transform of one coefficient adds a number, for all of them that do not wrap.
func TestTransformOfDC(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for v := -1 << 15; v < 1<<15-4; v++ {
			var a [3*Stride + 4]byte
			random(r, a[:])
			b, c := a, Block{int16(v)}
			Transform(a[:], &c)
			AddDC(b[:], (v+4)>>3)
			if a != b {
				t.Fatalf("DC of %d: %v, want %v", v, b, a)
			}
		}
	})
}

// read is how many bits were decoded.
func (b *Bools) read() int { return 8*b.pos - int(b.valid) }

// TestBlocks reads noise by every level and by plain Go: the coefficients and what is left must be equal, up to the end of the data.
func TestBlocks(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		region := kerneltest.NewRegion[byte](t, 2000, pattern)
		for range 500 {
			var probs PositionProbs
			low, high := r.IntN(200), 1+r.IntN(255)
			for i := range probs {
				for j := range probs[i] {
					for k := range probs[i][j] {
						probs[i][j][k] = uint8(low + r.IntN(high))
					}
				}
			}
			data := region.Slice(r.IntN(2000))
			random(r, data)
			got, want := NewBools(data), NewBools(data)
			for range 300 {
				context, first, f := r.IntN(3), r.IntN(2), Factors{uint16(r.IntN(300)), uint16(r.IntN(500))}
				var a, b Block
				na, nb := got.Block(&a, &probs, context, first, &f), readBlockGeneric(&want, &b, &probs, context, first, &f)
				if na != nb || a != b || got.width != want.width || got.read() != want.read() || got.Short() != want.Short() ||
					(got.value^want.value)>>(64-min(got.valid, want.valid)) != 0 {
					t.Fatalf("got %d: %v and %+v, want %d: %v and %+v", na, a, got, nb, b, want)
				}
			}
		}
	})
}
