package decode

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/palette"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// rawRGB returns the pixels of an image of the standard library without alpha, of 16-bit samples the upper bytes.
func rawRGB(t *testing.T, m image.Image) []byte {
	t.Helper()
	r := m.Bounds()
	var out []byte
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			switch c := m.At(x, y).(type) {
			case color.Gray:
				out = append(out, c.Y, c.Y, c.Y)
			case color.Gray16:
				out = append(out, byte(c.Y>>8), byte(c.Y>>8), byte(c.Y>>8))
			case color.RGBA:
				out = append(out, c.R, c.G, c.B)
			case color.NRGBA:
				out = append(out, c.R, c.G, c.B)
			case color.RGBA64:
				out = append(out, byte(c.R>>8), byte(c.G>>8), byte(c.B>>8))
			case color.NRGBA64:
				out = append(out, byte(c.R>>8), byte(c.G>>8), byte(c.B>>8))
			default:
				t.Fatalf("unexpected color %T", c)
			}
		}
	}
	return out
}

// compareWithPNG checks that a file that image/png accepts gives the same pixels here, whole and in rows. Indices without
// a color are black there.
func compareWithPNG(t *testing.T, d *Decoder, data []byte) {
	t.Helper()
	if c, err := png.DecodeConfig(bytes.NewReader(data)); err != nil || c.Width*c.Height > 1<<20 {
		return
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return
	}
	if indices, ok := m.(*image.Paletted); ok && int(slices.Max(indices.Pix)) >= len(pngChunk(data, "PLTE"))/3 {
		return
	}
	compare(t, d, data, m.Bounds().Dx(), m.Bounds().Dy(), rawRGB(t, m))
}

// compare decodes a file whole and in rows, and compares the pixels.
func compare(t *testing.T, d *Decoder, data []byte, width, height int, want []byte) {
	t.Helper()
	got, err := d.Decode(data, Options{})
	if err != nil || got.Width != width || got.Height != height || !bytes.Equal(got.Pix, want) {
		t.Fatalf("picture of %dx%d, error %v; want %dx%d of the library, or pixels differ", got.Width, got.Height, err, width, height)
	}
	var pix []byte
	if _, err := d.Decode(data, Options{Rows: func(p RGB, first, end int) {
		pix = append(pix, p.Pix[:(end-first)*p.Stride]...)
	}}); err != nil || !bytes.Equal(pix, want) {
		t.Fatalf("in rows: error %v, or pixels differ", err)
	}
}

// FuzzPNG checks that files that image/png accepts give the same pixels here.
func FuzzPNG(f *testing.F) {
	testutil.Seeds(f, filepath.Join("testdata", "*.png"))
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte) { compareWithPNG(t, &d, data) })
}

// pngOf makes a PNG file of any rows, filters included. It repeats data as long as needed.
func pngOf(kind, width, height byte, data []byte) []byte {
	kinds := [...]struct{ depth, color, samples byte }{
		{1, 0, 1}, {2, 0, 1}, {4, 0, 1}, {8, 0, 1}, {16, 0, 1}, {8, 2, 3}, {16, 2, 3},
		{1, 3, 1}, {2, 3, 1}, {4, 3, 1}, {8, 3, 1}, {8, 4, 2}, {16, 4, 2}, {8, 6, 4}, {16, 6, 4},
	}
	k := kinds[int(kind&127)%len(kinds)]
	w, h := int(width)%70+1, int(height)%40+1
	header := binary.BigEndian.AppendUint32(nil, uint32(w))
	header = binary.BigEndian.AppendUint32(header, uint32(h))
	header = append(header, k.depth, k.color, 0, 0, kind>>7)
	passes := []pngPass{{0, 0, 1, 1}}
	if kind>>7 == 1 {
		passes = adam7[:]
	}
	var raw []byte
	next := 0
	for _, p := range passes {
		pw, ph := p.size(&pngHeader{width: w, height: h})
		for range ph {
			if pw == 0 {
				break
			}
			for i := range 1 + (pw*int(k.samples)*int(k.depth)+7)/8 {
				b := byte(next * 7)
				if len(data) > 0 {
					b = data[next%len(data)]
				}
				if next++; i == 0 {
					b %= 5
				}
				raw = append(raw, b)
			}
		}
	}
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write(raw)
	_ = z.Close()
	half := packed.Len() / 2
	file := append([]byte(pngSignature), decodetest.Chunk("IHDR", header)...)
	if k.color == 3 {
		file = append(file, decodetest.Chunk("PLTE", slices.Repeat([]byte{1, 20, 255, 17, 50}, 200)[:3<<k.depth])...)
	}
	return slices.Concat(file, decodetest.Chunk("IDAT", packed.Bytes()[:half]), decodetest.Chunk("IDAT", nil),
		decodetest.Chunk("IDAT", packed.Bytes()[half:]), decodetest.Chunk("tEXt", []byte("end")), decodetest.Chunk("IEND", nil))
}

// FuzzPNGRows does the same with valid files of any kind of pixels and any rows.
func FuzzPNGRows(f *testing.F) {
	for kind := range byte(15) {
		for _, interlaced := range []byte{0, 128} {
			f.Add(kind|interlaced, kind*5, kind*3, []byte("rows of any kind, with filters \x00\x01\x02\x03\x04\xff\x80\x7f"))
			f.Add(kind|interlaced, byte(69), byte(39), []byte{4, 200, 3, 255, 1, 9, 77, 130, 2, 0, 250})
		}
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, kind, width, height byte, data []byte) {
		file := pngOf(kind, width, height, data)
		if _, err := png.Decode(bytes.NewReader(file)); err != nil {
			t.Fatalf("image/png: %v", err)
		}
		compareWithPNG(t, &d, file)
	})
}

// gifWithTransparent makes a GIF of two colors and one row, whose transparent index may be beyond them.
func gifWithTransparent(tb testing.TB, transparent byte, indices []byte) []byte {
	tb.Helper()
	var packed bytes.Buffer
	w := lzw.NewWriter(&packed, lzw.LSB, 3)
	if _, err := w.Write(indices); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	width := byte(len(indices))
	return slices.Concat([]byte("GIF89a"), []byte{width, 0, 1, 0, 0x80, 0, 0, 10, 20, 30, 200, 100, 50},
		[]byte{'!', 0xF9, 4, 1, 0, 0, transparent, 0, ',', 0, 0, 0, 0, width, 0, 1, 0, 0, 3, byte(packed.Len())}, packed.Bytes(), []byte{0, ';'})
}

// FuzzGIF checks that files that image/gif accepts give the same pixels here, but for the color of transparent ones
// and of those that the frame does not cover.
func FuzzGIF(f *testing.F) {
	testutil.Seeds(f, filepath.Join("testdata", "*.gif"))
	for _, transparent := range []byte{1, 5} {
		f.Add(gifWithTransparent(f, transparent, []byte{transparent, 1, 0, transparent}))
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := gif.DecodeConfig(bytes.NewReader(data))
		if err != nil || c.Width < 1 || c.Height < 1 || c.Width*c.Height > 1<<20 {
			return
		}
		m, err := gif.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		frame := m.(*image.Paletted)
		h, err := readGIFHeader(data)
		if err != nil {
			t.Fatalf("header: %v", err)
		}
		var colors palette.Palette
		colors.Ramp()
		for i := range len(h.colors) / 3 {
			colors.Set(i, h.colors[3*i], h.colors[3*i+1], h.colors[3*i+2])
		}
		var want []byte
		for y := range c.Height {
			for x := range c.Width {
				index := h.transparent
				if image.Pt(x, y).In(frame.Rect) {
					index = frame.ColorIndexAt(x, y)
				}
				c := colors.Color(index)
				want = append(want, c[:]...)
			}
		}
		compare(t, &d, data, c.Width, c.Height, want)
	})
}

// FuzzBMP checks that files that golang.org/x/image/bmp accepts, which are some of the kinds, give the same pixels here.
func FuzzBMP(f *testing.F) {
	testutil.Seeds(f, filepath.Join("testdata", "*.bmp"))
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := bmp.DecodeConfig(bytes.NewReader(data)); err != nil || c.Width < 1 || c.Height < 1 || c.Width*c.Height > 1<<20 {
			return
		}
		m, err := bmp.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		compare(t, &d, data, m.Bounds().Dx(), m.Bounds().Dy(), rawRGB(t, m))
	})
}
