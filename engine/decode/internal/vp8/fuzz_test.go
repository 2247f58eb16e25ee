package vp8

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
)

// usual reports whether the reference and libwebp agree on a picture: sums of its transforms fit in 16 bits, and levels of filters in 8,
// which neither encoder exceeds.
func usual(data []byte) bool {
	var d Decoder
	if _, _, err := d.Begin(data, proceed); err != nil {
		return true
	}
	s := &d.segmentation
	for i, base := range s.level {
		if s.enabled && (base < -20 || base > 20 || s.quantizer[i] < -128) {
			return false
		}
	}
	// A sum has up to 15 times the largest coefficient: (1 + 1 + 1.31 + 0.54)^2.
	const most = 32767/15 - 1
	for y := range d.rows {
		var left neighbors
		for x := range d.columns {
			var m macroblock
			d.readModes(&m, &left, &d.above[x])
			if m.skip {
				noResiduals(&m, &left, &d.above[x])
				continue
			}
			d.readResiduals(&d.partitions[y&(len(d.partitions)-1)], &m, &left, &d.above[x])
			for _, b := range d.coefs {
				if low, high := slices.Min(b[:]), slices.Max(b[:]); low < -most || high > most {
					return false
				}
			}
		}
	}
	return true
}

// check decodes any data: it is accepted if the reference accepts it, with the same samples, on each level of the CPU.
func check(t *testing.T, used *Decoder, data []byte) {
	t.Helper()
	width, height, err := Size(data)
	if err == nil && (width*height > 1<<16 || width == 0 || height == 0) {
		return
	}
	want, wantErr := reference(data)
	levels := kernel.Levels()
	for _, level := range levels {
		kernel.Use(level)
		got, err := planes(used, data)
		if err != nil && !errors.Is(err, ErrData) && !errors.Is(err, ErrInter) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%v: undocumented error %v", level, err)
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v: error %v, the reference's %v", level, err, wantErr)
		}
		if err != nil {
			continue
		}
		if level == levels[0] && !usual(data) {
			want = got
		}
		compare(t, level.String(), got, want)
	}
}

// TestNoise decodes noise: all modes of prediction, all filters, and coefficients of any size.
func TestNoise(t *testing.T) {
	var d Decoder
	for _, size := range []int{1, 15, 16, 17, 40, 100} {
		for _, bytes := range []int{100, 3000, 40_000} {
			check(t, &d, chunk(decodetest.WebP{Lossy: true, Bytes: bytes}.Make(size, 101-size)))
		}
	}
}

// TestDamage flips bits of pictures, mostly of their headers.
func TestDamage(t *testing.T) {
	var d Decoder
	for _, data := range samples(t) {
		for bit := 0; bit < 8*len(data); bit += 1 + bit/100 {
			bad := slices.Clone(data)
			bad[bit/8] ^= 1 << (bit % 8)
			check(t, &d, bad)
		}
	}
}

// FuzzDecode compares decoders on any data.
func FuzzDecode(f *testing.F) {
	for _, data := range samples(f) {
		f.Add(data)
	}
	f.Add(chunk(decodetest.WebP{Lossy: true, Bytes: 500}.Make(30, 20)))
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte) { check(t, &d, data) })
}

