package vp8

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
)

// impossible reports whether a partition begins with a number that no encoder writes: it is beyond the first interval, whose width is 255.
// Decoders differ in what they read from it.
func impossible(data []byte) bool {
	if len(data) < headerBytes {
		return false
	}
	rest := data[headerBytes:]
	first := int(data[0])>>5 | int(data[1])<<3 | int(data[2])<<11
	if len(rest) == 0 || rest[0] == 255 || first >= len(rest) {
		return true
	}
	var d Decoder
	_, _, _ = d.Begin(data, proceed) // fails after the partitions were found, or nothing is compared
	rest = rest[first:]
	sizes := rest
	rest = rest[min(3*max(len(d.partitions)-1, 0), len(rest)):]
	for i := range d.partitions {
		if len(rest) > 0 && rest[0] == 255 {
			return true
		}
		if i < len(d.partitions)-1 {
			rest = rest[min(uint24(sizes[3*i:]), len(rest)):]
		}
	}
	return false
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// usual reports whether the reference and libwebp agree on a picture: sums of its transforms fit in 16 bits, and levels of filters in 8,
// which neither encoder exceeds.
func usual(data []byte) bool {
	var d Decoder
	if _, _, err := d.Begin(data, proceed); err != nil {
		return true
	}
	if !usualLevels(data) {
		return false
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
		if level == levels[0] && impossible(data) {
			want, wantErr = got, err
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

// usualLevels reports whether levels of filters fit in 8 bits before they are clipped.
func usualLevels(data []byte) bool {
	var d Decoder
	b := newBools(data[headerBytes:])
	b.number(2)
	d.readSegments(&b)
	b.flag()
	level := b.number(6)
	b.number(3)
	var deltas [8]int
	enabled := b.flag()
	if update := enabled && b.flag(); update {
		for i := range deltas {
			deltas[i] = b.optional(6)
		}
	}
	for i := range segments {
		one := d.segmentation.of(&d.segmentation.level, i, level) + deltas[0]
		two := one + deltas[4]
		if one != int(int8(one)) || two != int(int8(two)) {
			return false
		}
	}
	return true
}

// noise makes a picture of which all is noise: the header too, and the sizes of partitions nearly.
func noise(r *rand.Rand, width, height int) []byte {
	first, rest := 100+r.IntN(2000), 30_000
	data := []byte{byte(first<<5) | 1<<4, byte(first >> 3), byte(first >> 11), 0x9D, 0x01, 0x2A,
		byte(width), byte(width >> 8), byte(height), byte(height >> 8)}
	for range first + rest {
		data = append(data, byte(r.Uint32()))
	}
	for i := range 7 {
		copy(data[headerBytes+first+3*i:], []byte{byte(r.Uint32()), byte(r.IntN(16)), 0})
	}
	return data
}

// TestNoise decodes noise: all fields of headers, modes of prediction and filters, and coefficients of any size.
func TestNoise(t *testing.T) {
	var d Decoder
	r := rand.New(rand.NewPCG(11, 12))
	compared, filters := 0, map[int]int{}
	partitions := map[int]int{}
	for range 3000 {
		data := noise(r, 1+r.IntN(100), 1+r.IntN(60))
		check(t, &d, data)
		if _, err := planes(&d, data); err == nil && !impossible(data) && usual(data) {
			compared++
			filters[d.filter]++
			partitions[len(d.partitions)]++
		}
	}
	t.Logf("%d pictures have usual coefficients; filters %v, partitions %v", compared, filters, partitions)
	if compared < 100 || len(filters) < 3 || len(partitions) < 4 {
		t.Errorf("%d pictures have usual coefficients, of filters %v, partitions %v; want 100 or more, of all kinds", compared, filters, partitions)
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
	f.Add(decodetest.WebPChunk(decodetest.WebP{Lossy: true, Bytes: 500}.Make(30, 20), "VP8 "))
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte) { check(t, &d, data) })
}
