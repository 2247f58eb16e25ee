package kernel

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

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

// rowKernels are the kernels that make one row of others. Each is called with sources of n samples.
var rowKernels = []struct {
	name    string
	sources int
	minimum int // shortest row
	expand  int // bytes made of a sample
	run     func(dst []byte, src [3][]byte)
	generic func(dst []byte, src [3][]byte)
}{
	{"YCbCrToRGB", 3, 0, 3,
		func(dst []byte, s [3][]byte) { YCbCrToRGB(dst, s[0], s[1], s[2]) },
		func(dst []byte, s [3][]byte) { ycbcrToRGBGeneric(dst, s[0], s[1], s[2]) }},
	{"Interleave", 3, 0, 3,
		func(dst []byte, s [3][]byte) { Interleave(dst, s[0], s[1], s[2]) },
		func(dst []byte, s [3][]byte) { interleaveGeneric(dst, s[0], s[1], s[2]) }},
	{"UpsampleH2", 1, 2, 2,
		func(dst []byte, s [3][]byte) { UpsampleH2(dst, s[0]) },
		func(dst []byte, s [3][]byte) { upsampleH2Generic(dst, s[0]) }},
	{"UpsampleV2 upper", 2, 0, 1,
		func(dst []byte, s [3][]byte) { UpsampleV2(dst, s[0], s[1], 1) },
		func(dst []byte, s [3][]byte) { upsampleV2Generic(dst, s[0], s[1], 1) }},
	{"UpsampleV2 lower", 2, 0, 1,
		func(dst []byte, s [3][]byte) { UpsampleV2(dst, s[0], s[1], 2) },
		func(dst []byte, s [3][]byte) { upsampleV2Generic(dst, s[0], s[1], 2) }},
	{"UpsampleH2V2", 2, 2, 2,
		func(dst []byte, s [3][]byte) { UpsampleH2V2(dst, s[0], s[1]) },
		func(dst []byte, s [3][]byte) { upsampleH2V2Generic(dst, s[0], s[1]) }},
}

// TestRowsEqualGeneric compares every level with plain Go, for every length and tail, with all slices at the edge of
// readable memory.
func TestRowsEqualGeneric(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		var sources [3]*kerneltest.Region[byte]
		for i := range sources {
			sources[i] = kerneltest.NewRegion[byte](t, 130, pattern)
		}
		output := kerneltest.NewRegion[byte](t, 3*130, pattern)
		for _, k := range rowKernels {
			for n := k.minimum; n <= 130; n++ {
				what := fmt.Sprintf("%s of %d samples", k.name, n)
				var src [3][]byte
				for i := range k.sources {
					src[i] = sources[i].Slice(n)
					random(r, src[i])
				}
				dst := output.Slice(k.expand * n)
				want := make([]byte, k.expand*n)
				k.generic(want, src)
				k.run(dst, src)
				if !bytes.Equal(dst, want) {
					t.Fatalf("%s: got %v, want %v", what, dst, want)
				}
				output.Check(t, what)
			}
		}
	})
}

// TestYCbCrToRGBAllValues goes through all 2^24 colors.
func TestYCbCrToRGBAllValues(t *testing.T) {
	each(t, func(t *testing.T) {
		var y, cb, cr [256]byte
		var got, want [3 * 256]byte
		for i := range y {
			y[i] = byte(i)
		}
		for u := range 256 {
			for v := range 256 {
				for i := range cb {
					cb[i], cr[i] = byte(u), byte(v)
				}
				YCbCrToRGB(got[:], y[:], cb[:], cr[:])
				ycbcrToRGBGeneric(want[:], y[:], cb[:], cr[:])
				if got != want {
					t.Fatalf("Cb %d, Cr %d: got %v, want %v", u, v, got, want)
				}
			}
		}
	})
}

// blocks yields coefficients and tables of many kinds: dense and sparse, tame and beyond all bounds.
func blocks(yield func(*Block, *[64]uint16) bool) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 20000 {
		var block Block
		var quant [64]uint16
		size := 1 << (i % 16) // largest coefficient
		dense := 1 + r.IntN(64)
		rows := 1 + r.IntN(8)
		for k := range 8 * rows {
			if r.IntN(64) < dense {
				block[k] = int16(r.IntN(2*size+1) - size)
			}
		}
		for k := range quant {
			quant[k] = uint16(1 + r.IntN(1<<(i/16%9)))
			if i%100 == 99 {
				quant[k] = uint16(r.Uint32())
			}
		}
		if !yield(&block, &quant) {
			return
		}
	}
}

func TestInverseDCTEqualsGeneric(t *testing.T) {
	each(t, func(t *testing.T) {
		for block, quant := range blocks {
			const stride = 13
			var got, want [7*stride + 8]byte
			InverseDCT(got[:], stride, block, quant)
			inverseDCTGeneric(want[:], stride, block, quant)
			if got != want {
				t.Fatalf("coefficients %v, table %v: got %v, want %v", block, quant, got, want)
			}
		}
	})
}

func TestInverseDCTStaysInside(t *testing.T) {
	each(t, func(t *testing.T) {
		block := Block{100, 20, 0, 0, 0, 0, 0, 0, 30}
		quant := [64]uint16{1, 1, 1, 1, 1, 1, 1, 1, 1}
		output := kerneltest.NewRegion[byte](t, 8*80, pattern)
		for stride := 8; stride < 80; stride++ {
			dst := output.Slice(7*stride + 8)
			InverseDCT(dst, stride, &block, &quant)
			output.Check(t, "InverseDCT")
			for i, v := range dst {
				if i%stride >= 8 && v != pattern {
					t.Fatalf("stride %d: byte %d changed", stride, i)
				}
			}
		}
	})
}

// TestInverseDCTAgainstDefinition compares with the sum of T.81, A.3.3, in double precision. The transform is
// accurate to one step: IEEE 1180 asks for that, and for a small mean error.
func TestInverseDCTAgainstDefinition(t *testing.T) {
	var basis [8][8]float64
	for x := range 8 {
		for u := range 8 {
			c := 0.5
			if u == 0 {
				c = 0.5 / math.Sqrt2
			}
			basis[x][u] = c * math.Cos(float64(2*x+1)*float64(u)*math.Pi/16)
		}
	}
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		var sum, count float64
		for range 2000 {
			var block Block
			var quant [64]uint16
			for k := range block {
				block[k], quant[k] = int16(r.IntN(61)-30), 1
			}
			var got [64]byte
			InverseDCT(got[:], 8, &block, &quant)
			for y := range 8 {
				for x := range 8 {
					want := 128.0
					for v := range 8 {
						for u := range 8 {
							want += basis[y][v] * basis[x][u] * float64(block[8*v+u])
						}
					}
					diff := float64(got[8*y+x]) - math.Min(math.Max(want, 0), 255)
					if math.Abs(diff) > 1 {
						t.Fatalf("sample (%d, %d) = %d, want %.3f", x, y, got[8*y+x], want)
					}
					sum += diff
					count++
				}
			}
		}
		if mean := sum / count; math.Abs(mean) > 0.0015 {
			t.Errorf("mean error %f, want at most 0.0015", mean)
		}
	})
}

func TestFlatEqualsInverseDCT(t *testing.T) {
	for dc := -1 << 15; dc < 1<<15; dc += 37 {
		for _, q := range []uint16{0, 1, 2, 16, 255, 65535} {
			block, quant := Block{int16(dc)}, [64]uint16{q}
			var got, want [64]byte
			Flat(got[:], 8, int16(dc), q)
			inverseDCTGeneric(want[:], 8, &block, &quant)
			if got != want {
				t.Fatalf("DC %d times %d: got %d, want %d", dc, q, got[0], want[0])
			}
		}
	}
}

// randomTables returns tables of arbitrary entries: to Next they need not stand for any code.
func randomTables(r *rand.Rand) (dc SymbolTable, ac PairTable) {
	for i := range dc {
		length, value := uint32(1+r.IntN(LookupBits)), r.Uint32()<<16
		switch r.IntN(4) {
		case 0:
			dc[i] = Open | length | uint32(1+r.IntN(15))<<16
		case 1:
			dc[i] = Open * uint32(r.IntN(2)) // long, or of no bits
		default:
			dc[i] = length | value
		}
	}
	steps := func() uint64 {
		if r.IntN(16) == 0 {
			return EndOfBlock
		}
		return uint64(1 + r.IntN(16)>>r.IntN(5))
	}
	for i := range ac {
		length, first, value := uint64(1+r.IntN(LookupBits)), steps(), uint64(r.Uint32N(1<<16))
		switch r.IntN(8) {
		case 0:
			ac[i] = Open | length | first<<8 | uint64(1+r.IntN(15))<<16
		case 1:
			if r.IntN(8) == 0 {
				ac[i] = Open
				break
			}
			fallthrough
		case 2, 3, 4:
			ac[i] = length | first<<8 | value<<16 | first<<32 | value<<48
		default:
			first = min(first, 16)
			ac[i] = length | first<<8 | value<<16 | (first+steps())<<32 | uint64(r.Uint32N(1<<16))<<48
		}
	}
	return dc, ac
}

// TestNextEqualsGeneric reads random bits of one or more blocks by random tables, to the last byte that may be touched.
func TestNextEqualsGeneric(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		input := kerneltest.NewRegion[byte](t, 5+3*blockBytes, pattern)
		for range 200 {
			dc, ac := randomTables(r)
			for range 100 {
				k, pos := r.IntN(64)-1, r.IntN(40) // k of -1 to 62
				units := 1 + r.IntN(3)
				data := input.Slice(pos>>3 + 4*(63-k) + 16 + r.IntN(2)*(units-1)*blockBytes)
				random(r, data)
				got, want := Reader{Data: data, Pos: pos}, Reader{Data: data, Pos: pos}
				for _, r := range []*Reader{&got, &want} {
					r.Units = make([]Unit, units)
					for i := range r.Units {
						r.Units[i] = Unit{DC: &dc, AC: &ac, Coefs: [64]int16{0: 1, 63: 2}}
					}
				}
				gotK, wantK := got.Next(k), want.nextGeneric(k)
				if got.Read < want.Read && gotK >= 63 { // it may return early: there is not enough data for a block of any length
					for got.Read < want.Read {
						if (len(data) - got.Pos>>3) >= blockBytes+8 {
							t.Fatalf("Next(%d) at bit %d of %d bytes returned at bit %d", k, pos, len(data), got.Pos)
						}
						gotK = got.Next(-1)
					}
				}
				if gotK < 63 {
					got.Units[got.Read].Coefs[63], want.Units[got.Read].Coefs[63] = 0, 0 // may be there already, before its symbol is taken
				}
				if gotK != wantK || got.Pos != want.Pos || got.Read != want.Read {
					t.Fatalf("Next(%d) at bit %d: got %d, bit %d, %d units; want %d, bit %d, %d units",
						k, pos, gotK, got.Pos, got.Read, wantK, want.Pos, want.Read)
				}
				for i := range units {
					g, w := &got.Units[i], &want.Units[i]
					if g.Coefs != w.Coefs || g.Last != w.Last || g.AC != w.AC || g.DC != w.DC {
						t.Fatalf("Next(%d) at bit %d: unit %d of %d: got %d, %v; want %d, %v", k, pos, i, units, g.Last, g.Coefs, w.Last, w.Coefs)
					}
				}
			}
		}
	})
}

// TestUnitLayout holds Unit to what assembly knows of it.
func TestUnitLayout(t *testing.T) {
	t.Parallel()
	var u Unit
	got := [...]uintptr{unsafe.Offsetof(u.DC), unsafe.Offsetof(u.AC), unsafe.Offsetof(u.Last), unsafe.Sizeof(u)}
	if want := [...]uintptr{136, 144, 152, 160}; unsafe.Sizeof(uintptr(0)) == 8 && got != want {
		t.Errorf("offsets of DC, AC and Last, and size: %d, want %d", got, want)
	}
}

func BenchmarkInverseDCT(b *testing.B) {
	block := Block{100, 20, -3, 0, 5, 0, 0, 0, 30, 1, 2, 0, 1}
	quant := [64]uint16{}
	for i := range quant {
		quant[i] = 3
	}
	var dst [64]byte
	for _, level := range Levels() {
		b.Run(level.String(), func(b *testing.B) {
			Use(level)
			for b.Loop() {
				InverseDCT(dst[:], 8, &block, &quant)
			}
		})
	}
}

func BenchmarkRows(b *testing.B) {
	const n = 500
	for _, k := range rowKernels {
		src := [3][]byte{make([]byte, n), make([]byte, n), make([]byte, n)}
		dst := make([]byte, k.expand*n)
		for _, level := range Levels() {
			b.Run(k.name+"/"+level.String(), func(b *testing.B) {
				Use(level)
				b.SetBytes(int64(len(dst)))
				for b.Loop() {
					k.run(dst, src)
				}
			})
		}
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	kerneltest.Encodings(t, "vector_arm64.s")
}
