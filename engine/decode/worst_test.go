package decode

import (
	"bytes"
	"errors"
	"image"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
)

// center is like the window of the network's input: seven eighths of the shorter side.
func center(width, height int) image.Rectangle {
	side := max(min(width, height)*7/8, 1)
	return image.Rect(0, 0, side, side).Add(image.Pt((width-side)/2, (height-side)/2))
}

// worstOptions are the default options but for the limits, which are scaled to a number of pixels.
func worstOptions(pixels int) Options {
	return Options{Window: center, Rows: func(RGB, int, int) {}, MaxPixels: pixels,
		MaxMemory: DefaultMaxMemory * int64(pixels) / DefaultMaxPixels}
}

// TestWorstFiles checks of the worst files of each format that the header says how much memory they take, and that
// those beyond the limit are refused before it is taken.
func TestWorstFiles(t *testing.T) {
	pixels := 5_000_000
	if slow {
		pixels = DefaultMaxPixels
	}
	for _, file := range decodetest.Worst(pixels) {
		t.Run(file.Name, func(t *testing.T) {
			data := file.Make()
			o, rows := worstOptions(pixels), 0
			o.Rows = func(_ RGB, first, end int) { rows += end - first }
			h, inspected := Inspect(data, o)
			var d Decoder
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := d.Decode(data, o)
			runtime.ReadMemStats(&after)
			taken := int64(after.TotalAlloc - before.TotalAlloc)
			for begin, message := range map[string]string{
				decodetest.BeyondMemory: "Image takes too much memory to decode: ",
				decodetest.BeyondPixels: "Image has too many pixels: ",
			} {
				if !strings.HasPrefix(file.Name, begin) {
					continue
				}
				checkError(t, err, resnet18cloud.CodeTooLarge, message)
				checkError(t, inspected, resnet18cloud.CodeTooLarge, message)
				if taken > 64<<10 {
					t.Errorf("a refused file took %d bytes of memory", taken)
				}
				return
			}
			// Noise is no WebP that ends where its data does, but all of it is decoded before that is found.
			if inspected != nil || err != nil && !strings.Contains(file.Name, "lossy") {
				t.Fatalf("Inspect: %v, Decode: %v", inspected, err)
			}
			if want := center(h.Width, h.Height).Dy(); err == nil && rows != want {
				t.Errorf("%d rows, want %d", rows, want)
			}
			if taken > h.Memory {
				t.Errorf("%d bytes of memory taken, more than the %d expected", taken, h.Memory)
			}
		})
	}
}

// BenchmarkWorst decodes the worst files of each format within the default limits, for the window that the network
// needs. It reports the memory that the header promises.
func BenchmarkWorst(b *testing.B) {
	for _, file := range decodetest.Worst(DefaultMaxPixels) {
		b.Run(file.Name, func(b *testing.B) {
			data := file.Make()
			o := worstOptions(DefaultMaxPixels)
			h, _ := Inspect(data, o) // the error is Decode's
			b.ReportAllocs()
			b.ReportMetric(float64(h.Memory)/1e6, "MB")
			b.ReportMetric(float64(len(data)), "filebytes")
			for b.Loop() {
				var d Decoder
				_, _ = d.Decode(data, o) // some are refused
			}
		})
	}
}

// TestShortFiles checks that a file that cannot hold the pixels of its header is refused before memory is taken.
func TestShortFiles(t *testing.T) {
	t.Parallel()
	cut := func(data []byte, n int) []byte { return data[:len(data)-n] }
	crc := func(data []byte) []byte { // of IHDR
		return slices.Concat(data[:8], decodetest.Chunk("IHDR", data[16:29]), data[33:])
	}
	edit := func(data []byte, at int, b ...byte) []byte {
		copy(data[at:], b)
		return data
	}
	for name, data := range map[string][]byte{
		"PNG of 1 MB for 6 GB":     crc(edit(decodetest.PNG{Depth: 16, Color: 6}.Make(8, 8), 16, 0, 0, 0x1B, 0x58, 0, 0, 0x1B, 0x58)),
		"GIF with a larger frame":  bytes.ReplaceAll(decodetest.GIF{}.Make(64, 64), []byte{64, 0, 64, 0}, []byte{0x58, 0x1B, 0x58, 0x1B}),
		"BMP without its last row": cut(decodetest.BMP{}.Make(640, 480), 80),
	} {
		_, err := Inspect(data, Options{})
		checkError(t, err, resnet18cloud.CodeUndecodable, "Not a decodable image: "+name[:3]+" file is truncated")
	}
}

// TestShortWebP checks that the bytes of a WebP bound its pixels, above 4 megapixels.
func TestShortWebP(t *testing.T) {
	t.Parallel()
	bytes := len(decodetest.WebP{}.Make(2000, 2000))
	most := 2000 + bytes*webpPixelsPerByte/2000 // rows
	for rows, refused := range map[int]bool{2000: false, most: false, most + 1: true, 8000: true} {
		data := decodetest.WebP{}.Make(2000, rows)
		if len(data) != bytes {
			t.Fatalf("a WebP of %d rows has %d bytes, want %d", rows, len(data), bytes)
		}
		_, err := Inspect(data, Options{})
		if !refused && err != nil {
			t.Errorf("%d rows: %v", rows, err)
		}
		if refused {
			checkError(t, err, resnet18cloud.CodeTooLarge, "Image has too many pixels for a WebP file of ")
		}
	}
}

// TestCheck checks for every format that decoding ends with the error of Options.Check, at whichever call it comes,
// and that the decoder can be used again.
func TestCheck(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	var d Decoder
	for _, file := range decodetest.Worst(400_000) {
		data := file.Make()
		o := worstOptions(400_000)
		_, want := d.Decode(data, o)
		for left := 0; ; left += 1 + left/2 {
			calls := 0
			o.Check = func() error {
				if calls++; calls > left {
					return stop
				}
				return nil
			}
			_, err := d.Decode(data, o)
			if calls <= left { // to the end
				if (err == nil) != (want == nil) {
					t.Errorf("%s: error %v, without Check %v", file.Name, err, want)
				}
				if calls == 0 && want == nil {
					t.Errorf("%s: Check was not called", file.Name)
				}
				break
			}
			if err != stop { //nolint:errorlint // unchanged
				t.Fatalf("%s: stopped at call %d: error %v, want Check's", file.Name, left+1, err)
			}
		}
	}
}

// TestCheckWithoutPixels checks that Options.Check is called while a file is read that goes on without pixels.
func TestCheckWithoutPixels(t *testing.T) {
	t.Parallel()
	const size = 200_000
	header := decodetest.PNG{Depth: 8}.Make(1, 1)[:33]
	pngOf := func(chunks ...[]byte) []byte { return append(slices.Clone(header), slices.Concat(chunks...)...) }
	idat := func(body []byte) []byte { return decodetest.Chunk("IDAT", body) }
	zlib := []byte{0x78, 0x9C}
	gif := []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00") // pixels of 0 bits
	for name, data := range map[string][]byte{
		// Each of four blocks in five bytes has the fixed codes, 10 bits, and ends at once.
		"PNG of blocks with fixed codes": pngOf(idat(append(zlib, bytes.Repeat([]byte{0x02, 0x08, 0x20, 0x80, 0x00}, size/5)...))),
		"PNG of blocks without bytes":    pngOf(idat(append(zlib, bytes.Repeat([]byte{0, 0, 0, 0xFF, 0xFF}, size/5)...))),
		"PNG of IDAT without bytes":      pngOf(bytes.Repeat(idat(nil), size/12)),
		"PNG of text":                    pngOf(bytes.Repeat(decodetest.Chunk("tEXt", nil), size/12)),
		"GIF of clear codes":             slices.Concat(gif, bytes.Repeat([]byte{0xFF}, size/256*256)),
		"GIF of short blocks":            slices.Concat(gif, bytes.Repeat([]byte{1, 0xFF}, size/2)),
	} {
		calls := 0
		var d Decoder
		_, err := d.Decode(data, Options{Check: func() error { calls++; return nil }})
		checkError(t, err, resnet18cloud.CodeUndecodable, "Not a decodable image: "+name[:3]+" file is ")
		if calls < 10 {
			t.Errorf("%s: Check was called %d times", name, calls)
		}
	}
}
