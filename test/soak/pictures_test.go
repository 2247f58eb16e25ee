//go:build soak && linux

package soak

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"
)

// photo is a JPEG of about 100 KB. Data after its end is ignored, which makes each upload unique.
func photo(t *testing.T) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	img := image.NewRGBA(image.Rect(0, 0, 500, 375))
	for y := range 375 {
		for x := range 500 {
			noise := uint8(rng.IntN(64))
			img.SetRGBA(x, y, color.RGBA{uint8(x/2) ^ noise, uint8(y/2) ^ noise, 4 * noise, 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// worst returns small files of large pictures: as many pixels as each format may have, and beyond.
func worst(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{"webp": webp(7071, 7071), "webp, half": webp(3000, 3000)}
	encode := func(name string, f func(*bytes.Buffer) error) {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatal(err)
		}
		files[name] = b.Bytes()
	}
	large := image.Rect(0, 0, 7000, 7000)
	encode("png, palette", func(b *bytes.Buffer) error {
		return png.Encode(b, image.NewPaletted(large, color.Palette{color.Black}))
	})
	encode("png, 16 bits", func(b *bytes.Buffer) error { return png.Encode(b, image.NewNRGBA64(image.Rect(0, 0, 3000, 3000))) })
	encode("gif", func(b *bytes.Buffer) error {
		return gif.Encode(b, image.NewPaletted(large, color.Palette{color.Black, color.White}), nil)
	})
	encode("jpeg", func(b *bytes.Buffer) error { return jpeg.Encode(b, image.NewGray(large), nil) })
	return files
}

// webp returns a lossless WebP file of one color in about 40 bytes: each of its prefix codes has one symbol, so that
// pixels take no bits (RFC 9649, section 3).
func webp(width, height uint32) []byte {
	var bits uint64
	n := 0
	put := func(value uint64, count int) { bits |= value << n; n += count }
	put(uint64(width-1), 14)
	put(uint64(height-1), 14)
	put(0, 1+3)   // no alpha, version 0
	put(0, 1+1+1) // no transform, no color cache, no meta prefix codes
	for range 5 { // a simple code of one symbol of one bit: zero
		put(1, 1+1+1+1)
	}
	data := binary.LittleEndian.AppendUint64([]byte{0x2f}, bits)
	data = append(data, make([]byte, 3)...)
	file := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8L"), binary.LittleEndian.AppendUint32(nil, uint32(len(data)))...)
	file = append(file, data...)
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	return file
}
