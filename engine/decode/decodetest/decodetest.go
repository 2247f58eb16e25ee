// Package decodetest makes image files that cost as much as their format allows: few bytes that stand for many pixels,
// in the forms that take the most time and memory. Tests hold the limits of package decode against them.
package decodetest

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// File is a generated image file.
type File struct {
	Name string // says format, kind and size
	Make func() []byte
}

// Worst returns the costliest files of each format for a limit on pixels; those of WebP have a third of it, and those
// of progressive JPEG as many as half a KiB of memory allows for 100 pixels. Two of them are beyond the limits.
func Worst(pixels int) []File {
	all, most, third := side(pixels), side(pixels*6/10), side(pixels/3)
	file := func(name string, format interface {
		Make(width, height int) []byte
	}, width, height int) File {
		return File{fmt.Sprintf("%s, %dx%d", name, width, height), func() []byte { return format.Make(width, height) }}
	}
	square := func(name string, format interface {
		Make(width, height int) []byte
	}, side int) File {
		return file(name, format, side, side)
	}
	return []File{
		square("JPEG baseline 4:4:4", JPEG{Components: 3}, all),
		square("JPEG baseline CMYK", JPEG{Components: 4}, all),
		square("JPEG progressive 4:4:4", JPEG{Components: 3, Scans: 1}, most),
		square("JPEG progressive 4:4:4 in 190 scans", JPEG{Components: 3, Scans: 190}, most),
		square("JPEG progressive CMYK", JPEG{Components: 4, Scans: 1}, most),
		square("JPEG arithmetic 4:4:4", JPEG{Components: 3, Arithmetic: true}, all),
		square("JPEG arithmetic progressive 4:4:4 in 190 scans", JPEG{Components: 3, Scans: 190, Arithmetic: true}, most),
		square(BeyondMemory, JPEG{Components: 4, Scans: 1}, all),
		square("PNG 1 bit", PNG{Depth: 1}, all),
		square("PNG 1 bit with palette", PNG{Depth: 1, Color: 3}, all),
		file("PNG 8 bits gray", PNG{Depth: 8}, pixels, 1),
		file("PNG 8 bits gray", PNG{Depth: 8}, 1, pixels),
		file("PNG 8 bits gray in empty blocks", PNG{Depth: 8, Blocks: pixels / 70}, 100, 100),
		square("PNG 16 bits RGBA", PNG{Depth: 16, Color: 6, Filter: 4}, all),
		square("PNG 16 bits RGBA interlaced", PNG{Depth: 16, Color: 6, Filter: 4, Interlaced: true}, all),
		square("PNG 8 bits with palette interlaced", PNG{Depth: 8, Color: 3, Interlaced: true}, all),
		square("GIF", GIF{}, all),
		square("GIF interlaced", GIF{Interlaced: true}, all),
		square("GIF animated", GIF{Frames: 3}, all),
		square("BMP 1 bit", BMP{}, all),
		square("BMP compressed", BMP{Compressed: true}, all),
		square(BeyondPixels, WebP{}, all),
		square("WebP lossless", WebP{Bytes: third * third / 1000}, third),
		square("WebP lossless with transforms", WebP{Transforms: true, Bytes: third * third / 1000}, third),
		square("WebP lossless animated", WebP{Animated: true, Bytes: third * third / 1000}, third),
		square("WebP lossy", WebP{Lossy: true, Bytes: third * third / 2}, third),
		square("WebP lossy animated", WebP{Lossy: true, Animated: true, Bytes: third * third / 1000}, third),
	}
}

// How the names of files of Worst begin that are beyond the limits.
const (
	BeyondMemory = "JPEG progressive CMYK of all pixels"
	BeyondPixels = "WebP lossless in 28 bytes"
)

// side is that of a square of at most so many pixels.
func side(pixels int) int { return int(math.Sqrt(float64(pixels))) }

// JPEG describes the shortest JPEG file of a picture of one color: each of its Huffman tables has one code, a zero bit,
// which stands for no difference and for the end of a block.
type JPEG struct {
	Components int // 1 gray, 3 color, 4 CMYK
	Scans      int // of a progressive file; zero means baseline
	// Arithmetic coding has no tables, and takes a few bytes for any number of blocks: those of the first, and then zeros,
	// which are left out.
	Arithmetic bool
}

// Make returns the file.
func (o JPEG) Make(width, height int) []byte {
	components, scans := o.Components, o.Scans
	be16 := func(v int) []byte { return []byte{byte(v >> 8), byte(v)} }
	table := func(class byte) []byte {
		return slices.Concat([]byte{0xFF, 0xC4, 0, 20, class, 1}, make([]byte, 15), []byte{0})
	}
	marker, last, bits := byte(0xC0), byte(63), 2
	if scans > 0 {
		marker, last, bits = 0xC2, 0, 1
	}
	blocks := (width + 7) / 8 * ((height + 7) / 8)
	runs := (blocks + 1<<14 - 1) >> 14
	first, further := make([]byte, (blocks*components*bits+7)/8), make([]byte, (15*runs+7)/8)
	if o.Arithmetic {
		marker, first, further = 0xC9, []byte{0x1E, 0xB7, 0x80}, []byte{0xA5, 0xE3}
		if scans > 0 {
			marker, first = 0xCA, nil
		}
	}
	file := slices.Concat([]byte{0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}, []byte(strings.Repeat("\x01", 64)), table(0), table(0x10),
		[]byte{0xFF, marker, 0, byte(8 + 3*components), 8}, be16(height), be16(width), []byte{byte(components)})
	for i := range components {
		file = append(file, byte(i+1), 0x11, 0)
	}
	file = append(file, 0xFF, 0xDA, 0, byte(6+2*components), byte(components))
	for i := range components {
		file = append(file, byte(i+1), 0)
	}
	file = append(file, 0, last, 0)
	file = append(file, first...)
	// Further scans bring one coefficient each of one component, whose table ends 16384 blocks at a time.
	if scans > 1 {
		file = append(file, 0xFF, 0xC4, 0, 20, 0x10, 1)
		file = append(append(file, make([]byte, 15)...), 14<<4)
		for i := range scans - 1 {
			k := byte(1 + i/components)
			file = append(file, 0xFF, 0xDA, 0, 8, 1, byte(i%components+1), 0, k, k, 0)
			file = append(file, further...)
		}
	}
	return append(file, 0xFF, 0xD9)
}

// PNG describes a PNG file of zeros.
type PNG struct {
	Depth      int  // bits of a sample
	Color      byte // color type, as in the file
	Filter     byte // of each row
	Interlaced bool
	Blocks     int // of deflate, that are empty, before the pixels; each has codes of its own, and 14 bytes
}

// Make returns the file.
func (p PNG) Make(width, height int) []byte {
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	header = append(header, byte(p.Depth), p.Color, 0, 0, 0)
	passes := [][4]int{{0, 0, 1, 1}}
	if p.Interlaced {
		header[12] = 1
		passes = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	var data bytes.Buffer
	z, _ := zlib.NewWriterLevel(&data, zlib.BestSpeed)
	samples := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[p.Color]
	for _, pass := range passes {
		w, h := (width-pass[0]+pass[2]-1)/pass[2], (height-pass[1]+pass[3]-1)/pass[3]
		if w < 1 || h < 1 {
			continue
		}
		row := make([]byte, 1+(w*samples*p.Depth+7)/8)
		row[0] = p.Filter
		rows := bytes.Repeat(row, max(1, min(h, 1<<16/len(row)))) // many at a time where they are short
		for left := h * len(row); left > 0; left -= len(rows) {
			_, _ = z.Write(rows[:min(left, len(rows))]) // a buffer takes everything
		}
	}
	_ = z.Close()
	stream := slices.Concat(data.Bytes()[:2], emptyBlocks(p.Blocks), data.Bytes()[2:])
	file := append([]byte("\x89PNG\r\n\x1a\n"), Chunk("IHDR", header)...)
	if p.Color == 3 {
		file = append(file, Chunk("PLTE", []byte{200, 100, 50, 0, 0, 0})...)
	}
	return slices.Concat(file, Chunk("IDAT", stream), Chunk("IEND", nil))
}

// emptyBlocks returns n blocks of deflate (RFC 1951, section 3.2.7) that have nothing but their codes, as short as possible, and one
// without codes, which ends at a byte.
func emptyBlocks(n int) []byte {
	if n == 0 {
		return nil
	}
	var b bits
	for range n {
		b.add(0b10<<1, 3) // not the last one, with codes
		b.add(0, 10)      // 257 lengths of literals, one of distances
		b.add(18-4, 4)    // lengths of the code for these, of which two are 1: of 18, for many zeros, and of 1
		for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1} {
			length := uint32(0)
			if symbol == 18 || symbol == 1 {
				length = 1
			}
			b.add(length, 3)
		}
		// Literal 0, the block's end and distance 0 have codes of one bit.
		const one, zeros, end = 0, 1, 1
		b.add(one, 1)
		b.add(zeros, 1)
		b.add(138-11, 7)
		b.add(zeros, 1)
		b.add(117-11, 7)
		b.add(one, 1)
		b.add(one, 1)
		b.add(end, 1)
	}
	b.add(0, 3)
	return append(b.bytes, 0, 0, 0xFF, 0xFF)
}

// Chunk returns a chunk of a PNG file.
func Chunk(name string, body []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	c = append(append(c, name...), body...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
}

// GIF describes a GIF file of one color.
type GIF struct {
	Interlaced bool
	Frames     int // further frames of an animation
}

// Make returns the file.
func (o GIF) Make(width, height int) []byte {
	m := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.Black, color.White})
	all := &gif.GIF{}
	for range o.Frames + 1 {
		all.Image, all.Delay = append(all.Image, m), append(all.Delay, 10)
	}
	var b bytes.Buffer
	_ = gif.EncodeAll(&b, all) // a buffer takes everything, and the picture is valid
	file := b.Bytes()
	if o.Interlaced {
		at := bytes.Index(file, []byte{',', 0, 0, 0, 0, byte(width), byte(width >> 8)})
		file[at+9] |= 0x40
	}
	return file
}

// BMP describes a BMP file of zeros, of one bit for each pixel, or compressed of eight.
type BMP struct {
	Compressed bool // to two bytes that end the picture
}

// Make returns the file.
func (o BMP) Make(width, height int) []byte {
	pixels := make([]byte, (width+31)/32*4*height)
	bits, compression := 1, 0
	if o.Compressed {
		pixels, bits, compression = []byte{0, 1}, 8, 1
	}
	file := make([]byte, 62)
	le := binary.LittleEndian
	copy(file, "BM")
	le.PutUint32(file[2:], uint32(len(file)+len(pixels)))
	le.PutUint32(file[10:], 62)
	le.PutUint32(file[14:], 40)
	le.PutUint32(file[18:], uint32(width))
	le.PutUint32(file[22:], uint32(height))
	le.PutUint16(file[26:], 1)
	le.PutUint16(file[28:], uint16(bits))
	le.PutUint32(file[30:], uint32(compression))
	le.PutUint32(file[46:], 2) // colors
	copy(file[58:], []byte{255, 255, 255})
	return append(file, pixels...)
}

// WebPChunk returns the data of a WebP file's first chunk of a name, such as "VP8 "; nil if it has none.
func WebPChunk(file []byte, name string) []byte {
	for rest := file[12:]; len(rest) >= 8; {
		end := 8 + int(binary.LittleEndian.Uint32(rest[4:]))
		if end > len(rest) {
			return nil
		}
		if string(rest[:4]) == name {
			return rest[8:end]
		}
		rest = rest[min(end+end%2, len(rest)):]
	}
	return nil
}

// WebPChunks returns the first chunks of a name in the WebP files of a folder, by the names of the files. The test fails if there
// are fewer than ten.
func WebPChunks(tb testing.TB, folder, name string) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.webp"))
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string][]byte{}
	for _, path := range files {
		file, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		if data := WebPChunk(file, name); data != nil {
			found[filepath.Base(path)] = data
		}
	}
	if len(found) < 10 {
		tb.Fatalf("%d files in %s have a chunk %q, want 10 or more", len(found), folder, name)
	}
	return found
}

// WebP describes a WebP file: lossless of one color, or lossy of noise.
type WebP struct {
	Lossy      bool
	Transforms bool // lossless: all of them
	Animated   bool // one frame of an animation
	Bytes      int  // at least so many
}

// Make returns the file.
func (o WebP) Make(width, height int) []byte {
	chunk := func(name string, parts ...[]byte) []byte {
		body := slices.Concat(parts...)
		c := binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body)))
		return append(append(c, body...), make([]byte, len(body)%2)...)
	}
	var picture []byte
	if o.Lossy {
		picture = chunk("VP8 ", lossy(width, height, o.Bytes))
	} else {
		picture = chunk("VP8L", o.lossless(width, height))
	}
	if o.Animated {
		size := []byte{byte(width - 1), byte((width - 1) >> 8), 0, byte(height - 1), byte((height - 1) >> 8), 0}
		picture = slices.Concat(chunk("VP8X", []byte{2, 0, 0, 0}, size), chunk("ANIM", make([]byte, 6)),
			chunk("ANMF", make([]byte, 6), size, []byte{100, 0, 0, 0}, picture))
	}
	return chunk("RIFF", []byte("WEBP"), picture)
}

// lossless returns the data of a VP8L chunk. Each Huffman tree has one code, of no bits.
func (o WebP) lossless(width, height int) []byte {
	var b bits
	b.add(0x2f, 8)
	b.add(uint32(width-1), 14)
	b.add(uint32(height-1), 14)
	b.add(0, 4) // no alpha, version 0
	trees := func() {
		for range 5 {
			b.add(1, 4) // simple, one symbol of one bit, which is zero
		}
	}
	if o.Transforms {
		for kind := range uint32(2) { // predictor and color, of tiles of 4x4
			b.add(1, 1)
			b.add(kind, 2)
			b.add(0, 3)
			b.add(0, 1) // no color cache
			trees()
		}
		b.add(1, 1)
		b.add(2, 2) // subtract green
	}
	b.add(0, 3) // no more transforms, no color cache, one group of trees
	trees()
	return append(b.bytes, make([]byte, max(0, o.Bytes-len(b.bytes)))...)
}

// bits writes bits, least significant first.
type bits struct {
	bytes []byte
	used  int // of the last byte
}

func (b *bits) add(v uint32, n int) {
	for i := range n {
		if b.used%8 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[len(b.bytes)-1] |= byte(v>>i&1) << (b.used % 8)
		b.used++
	}
}

// lossy returns the data of a VP8 chunk (RFC 6386): a frame header, and noise for the first partition, of modes, and
// the second, of coefficients. Any bits mean something.
func lossy(width, height, size int) []byte {
	noise := rand.New(rand.NewPCG(18, 18))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(noise.Uint32())
		}
		return b
	}
	// Section 9: color space and clamping, no segments, the normal loop filter at full strength, no deltas, one partition of
	// coefficients, quantizers, no probabilities changed. The rest is noise.
	e := boolEncoder{width: 255, left: 24}
	for _, f := range []struct{ v, n int }{{0, 2}, {0, 1}, {0, 1}, {63, 6}, {0, 3}, {0, 1}, {0, 2}, {20, 7}, {0, 5}, {0, 1}} {
		for i := f.n - 1; i >= 0; i-- {
			e.put(128, f.v>>i&1 == 1)
		}
	}
	for range 4 * 8 * 3 * 11 {
		e.put(255, false)
	}
	first := append(e.flush(), random(min(size/4, 400_000))...)
	header := uint32(len(first))<<5 | 1<<4
	frame := []byte{byte(header), byte(header >> 8), byte(header >> 16), 0x9d, 0x01, 0x2a,
		byte(width), byte(width >> 8), byte(height), byte(height >> 8)}
	return slices.Concat(frame, first, random(max(0, size-len(first))))
}

// boolEncoder is the arithmetic coder of RFC 6386, section 7.3.
type boolEncoder struct {
	out           []byte
	width, bottom uint32
	left          int // shifts before a byte is complete
}

func (e *boolEncoder) put(probability uint32, bit bool) {
	split := 1 + (e.width-1)*probability>>8
	if bit {
		e.bottom += split
		e.width -= split
	} else {
		e.width = split
	}
	for e.width < 128 {
		e.width <<= 1
		if e.bottom&(1<<31) != 0 {
			for i := len(e.out) - 1; ; i-- {
				if e.out[i]++; e.out[i] != 0 {
					break
				}
			}
		}
		e.bottom <<= 1
		if e.left--; e.left == 0 {
			e.out = append(e.out, byte(e.bottom>>24))
			e.bottom &= 1<<24 - 1
			e.left = 8
		}
	}
}

func (e *boolEncoder) flush() []byte {
	for range 32 {
		e.put(128, false)
	}
	return e.out
}
