package jpeg_test

import (
	"bytes"
	"errors"
	"image"
	stdjpeg "image/jpeg"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// TestEveryTruncation checks that no prefix of a file decodes, and that each says it ended too early.
func TestEveryTruncation(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sample-2x2.jpg", "sample-2x2-progressive.jpg", "restart-3B.jpg", "cmyk.jpg",
		"sample-2x2-arithmetic.jpg", "sample-2x2-progressive-arithmetic.jpg", "restart-3B-arithmetic.jpg"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := readFile(t, "testdata", name)
			var d jpeg.Decoder
			for n := range data {
				// A restart marker cut off looks like one that is missing.
				if _, err := d.Decode(data[:n], jpeg.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("first %d of %d bytes: got error %v, want truncation", n, len(data), err)
				}
			}
		})
	}
}

// TestDamage flips every byte of a file: whatever comes of it, it is a picture of the size announced or an error.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"size-17x17.jpg", "size-16x16.jpg", "scans-bands.jpg", "size-33x2-422-arithmetic.jpg",
		"scans-conditioning-6-arithmetic.jpg"} {
		data := readFile(t, "testdata", name)
		var d jpeg.Decoder
		step := 1
		if testing.Short() { // emulated CPUs are slow
			step = 7
		}
		for i := 0; i < len(data); i += step {
			for _, flip := range []byte{0x01, 0x80, 0xFF} {
				bad := bytes.Clone(data)
				bad[i] ^= flip
				m, err := d.Decode(bad, jpeg.Options{MaxPixels: 1 << 20})
				if err == nil && len(m.Pix) != 3*m.Width*m.Height {
					t.Fatalf("%s, byte %d ^ %#x: %dx%d pixels in %d bytes", name, i, flip, m.Width, m.Height, len(m.Pix))
				}
			}
		}
	}
}

// TestWindow checks that the pixels inside any window are those of the whole picture.
func TestWindow(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/s*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	windows := []image.Rectangle{
		image.Rect(0, 0, 1, 1), image.Rect(60, 44, 61, 45), image.Rect(8, 8, 16, 16), image.Rect(7, 9, 33, 34),
		image.Rect(15, 0, 46, 45), image.Rect(0, 20, 61, 21), image.Rect(31, 0, 32, 45), image.Rect(-5, -5, 500, 20),
		image.Rect(16, 16, 48, 32), image.Rect(17, 15, 47, 33), image.Rect(100, 100, 200, 200),
	}
	var whole, part jpeg.Decoder
	for _, name := range files {
		data := readFile(t, name)
		want, err := whole.Decode(data, jpeg.Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		for _, w := range windows {
			if _, err := part.Decode(readFile(t, "testdata/rgb.jpg"), jpeg.Options{}); err != nil { // other pixels to overwrite
				t.Fatal(err)
			}
			got, err := part.Decode(data, jpeg.Options{Window: w})
			if err != nil {
				t.Fatal(name, w, err)
			}
			seen := w.Intersect(image.Rect(0, 0, want.Width, want.Height))
			for y := seen.Min.Y; y < seen.Max.Y; y++ {
				from, to := y*want.Stride+3*seen.Min.X, y*want.Stride+3*seen.Max.X
				if !bytes.Equal(got.Pix[from:to], want.Pix[from:to]) {
					t.Fatalf("%s, window %v: row %d differs from the whole picture", name, w, y)
				}
			}
		}
	}
}

// collector joins the rows that a decoder gives to a picture, and checks that they follow each other.
type collector struct {
	t    *testing.T
	name string
	next int
	pix  []byte // of the whole picture
}

func (c *collector) rows(picture jpeg.RGB, first, end int) {
	if first != c.next || end <= first || end > picture.Height {
		c.t.Fatalf("%s: rows %d to %d of %d were given after %d", c.name, first, end, picture.Height, c.next)
	}
	if c.pix == nil {
		c.pix = make([]byte, picture.Stride*picture.Height)
	}
	copy(c.pix[first*picture.Stride:end*picture.Stride], picture.Pix)
	c.next = end
}

// TestRows checks that the rows given are those of the picture in one piece, for any window, and that they are given as
// long as there are some, and once.
func TestRows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/s*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	windows := []image.Rectangle{{}, image.Rect(0, 0, 1, 1), image.Rect(7, 9, 33, 34), image.Rect(0, 20, 61, 21), image.Rect(3, 31, 50, 500),
		image.Rect(100, 100, 200, 200)}
	var whole, strips jpeg.Decoder
	for _, name := range files {
		data := readFile(t, name)
		for _, w := range windows {
			want, err := whole.Decode(data, jpeg.Options{Window: w})
			if err != nil {
				t.Fatal(name, err)
			}
			seen := image.Rect(0, 0, want.Width, want.Height)
			if w != (image.Rectangle{}) {
				seen = seen.Intersect(w)
			}
			c := collector{t: t, name: name, next: seen.Min.Y}
			got, err := strips.Decode(data, jpeg.Options{Window: w, Rows: c.rows})
			if err != nil || got.Pix != nil || got.Width != want.Width || got.Height != want.Height {
				t.Fatalf("%s: %dx%d with %d bytes, error %v; want %dx%d with none", name, got.Width, got.Height, len(got.Pix), err, want.Width, want.Height)
			}
			if c.next != seen.Max.Y {
				t.Errorf("%s, window %v: rows ended at %d", name, w, c.next)
			}
			for y := seen.Min.Y; y < seen.Max.Y; y++ {
				from, to := y*want.Stride+3*seen.Min.X, y*want.Stride+3*seen.Max.X
				if !bytes.Equal(c.pix[from:to], want.Pix[from:to]) {
					t.Fatalf("%s, window %v: row %d differs from the picture in one piece", name, w, y)
				}
			}
		}
	}
}

// TestRowsTakeLittleMemory checks that a picture that is given in rows is never there as a whole.
func TestRowsTakeLittleMemory(t *testing.T) {
	var file bytes.Buffer
	if err := stdjpeg.Encode(&file, image.NewRGBA(image.Rect(0, 0, 1000, 800)), nil); err != nil {
		t.Fatal(err)
	}
	taken := func(rows func(jpeg.RGB, int, int)) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var d jpeg.Decoder
		if _, err := d.Decode(file.Bytes(), jpeg.Options{Rows: rows}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	whole, rows := taken(nil), taken(func(jpeg.RGB, int, int) {})
	if rows > whole/2 {
		t.Errorf("%d bytes for a picture in rows, %d for one in one piece; two thirds of them are the picture", rows, whole)
	}
}

// TestReuse checks that a Decoder carries nothing from one file to the next, be it whole or broken.
func TestReuse(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	var used jpeg.Decoder
	for range 2 {
		for _, name := range files {
			data := readFile(t, name)
			got, gotErr := used.Decode(data, jpeg.Options{})
			var fresh jpeg.Decoder
			want, wantErr := fresh.Decode(data, jpeg.Options{})
			if !errors.Is(gotErr, wantErr) || !bytes.Equal(got.Pix, want.Pix) {
				t.Errorf("%s: reused decoder differs from a new one (errors %v and %v)", name, gotErr, wantErr)
			}
		}
		slices.Reverse(files)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, name := range []string{"sample-2x2.jpg", "sample-2x2-progressive.jpg", "cmyk.jpg", "restart-1B.jpg", "restart-1B-arithmetic.jpg",
		"sample-2x2-progressive-arithmetic.jpg"} {
		data := readFile(t, "testdata", name)
		var d jpeg.Decoder
		n := testing.AllocsPerRun(10, func() {
			if _, err := d.Decode(data, jpeg.Options{}); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations per picture with a used Decoder, want 0", name, n)
		}
		rows := func(jpeg.RGB, int, int) {}
		n = testing.AllocsPerRun(10, func() {
			if _, err := d.Decode(data, jpeg.Options{Rows: rows}); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations per picture given in rows, want 0", name, n)
		}
		n = testing.AllocsPerRun(10, func() {
			if _, err := jpeg.DecodeConfig(data); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: DecodeConfig allocates %v times, want 0", name, n)
		}
	}
}

func TestMaxPixels(t *testing.T) {
	data := readFile(t, "testdata/sample-2x2.jpg") // 61x45
	var d jpeg.Decoder
	var size jpeg.SizeError
	if _, err := d.Decode(data, jpeg.Options{MaxPixels: 61*45 - 1}); !errors.As(err, &size) {
		t.Errorf("one pixel too many: got error %v, want a SizeError", err)
	}
	for _, limit := range []int{61 * 45, -1, 0} {
		if _, err := d.Decode(data, jpeg.Options{MaxPixels: limit}); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	// A header that promises much with nothing behind it must not cost memory.
	data = bytes.Clone(data)
	sof := bytes.Index(data, []byte{0xFF, 0xC0})
	copy(data[sof+5:], []byte{0x10, 0, 0x10, 0})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := d.Decode(data, jpeg.Options{MaxPixels: -1}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("huge header: got error %v, want truncation", err)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
		t.Errorf("huge header took %d bytes of memory", taken)
	}
}

// TestManyScans checks that a file cannot ask for the same work over and over, nor for more of it than encoders do.
func TestManyScans(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("decodes hundreds of scans, in the same Go code on every CPU")
	}
	// A gray picture of 2000x2000 whose only Huffman codes, a zero bit each, stand for no difference and no coefficient.
	blocks := 250 * 250
	file := []byte("\xff\xd8\xff\xdb\x00\x43\x00" + strings.Repeat("\x01", 64) +
		"\xff\xc2\x00\x0b\x08\x07\xd0\x07\xd0\x01\x01\x11\x00" +
		"\xff\xc4\x00\x14\x00\x01" + strings.Repeat("\x00", 16) +
		"\xff\xc4\x00\x14\x10\x01" + strings.Repeat("\x00", 16))
	scan := func(first, last, high, low int) []byte {
		header := []byte{0xFF, 0xDA, 0, 8, 1, 1, 0, byte(first), byte(last), byte(high<<4 | low)}
		return append(header, make([]byte, blocks/8+1)...)
	}
	end := []byte{0xFF, 0xD9}
	file = append(file, scan(0, 0, 0, 0)...)
	var d jpeg.Decoder
	var format jpeg.FormatError
	if _, err := d.Decode(slices.Concat(file, scan(0, 0, 0, 0), end), jpeg.Options{}); !errors.As(err, &format) {
		t.Errorf("same scan twice: got error %v, want a FormatError", err)
	}
	scans := 1
	for k := 1; k <= 63 && scans <= 257; k++ {
		for low := 13; low >= 0; low-- {
			high := (low + 1) % 14 // 0 for the first
			file = append(file, scan(k, k, high, low)...)
			scans++
			if scans == 100 {
				if _, err := d.Decode(slices.Concat(file, end), jpeg.Options{}); err != nil {
					t.Errorf("100 scans: %v", err)
				}
			}
		}
	}
	var unsupported jpeg.UnsupportedError
	if _, err := d.Decode(append(file, end...), jpeg.Options{}); !errors.As(err, &unsupported) {
		t.Errorf("%d scans: got error %v, want an UnsupportedError", scans, err)
	}
}

func TestDecodeConfig(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]jpeg.Config{
		"sample-2x2.jpg":       {Width: 61, Height: 45, Components: 3},
		"gray-progressive.jpg": {Width: 61, Height: 45, Components: 1, Progressive: true},
		"cmyk.jpg":             {Width: 61, Height: 45, Components: 4},
		"rgb-arithmetic.jpg":   {Width: 61, Height: 45, Components: 3, Arithmetic: true},
	} {
		data := readFile(t, "testdata", name)
		sos := bytes.Index(data, []byte{0xFF, 0xDA})
		if got, err := jpeg.DecodeConfig(data[:sos]); err != nil || got != want {
			t.Errorf("DecodeConfig(%s) = %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestRegistered(t *testing.T) {
	t.Parallel()
	data := readFile(t, "testdata/sample-2x2.jpg")
	m, format, err := image.Decode(bytes.NewReader(data))
	if err != nil || format != "jpeg" {
		t.Fatalf("image.Decode: format %q, error %v", format, err)
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || c.Width != 61 || c.Height != 45 || c.ColorModel != m.ColorModel() {
		t.Errorf("image.DecodeConfig = %+v, %v", c, err)
	}
	var d jpeg.Decoder
	want, err := d.Decode(data, jpeg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for y := range want.Height {
		for x := range want.Width {
			r, g, b, a := m.At(x, y).RGBA()
			p := want.Pix[y*want.Stride+3*x:]
			if byte(r>>8) != p[0] || byte(g>>8) != p[1] || byte(b>>8) != p[2] || a != 0xFFFF {
				t.Fatalf("pixel (%d, %d) = %d %d %d %d, want %d", x, y, r>>8, g>>8, b>>8, a>>8, p[:3])
			}
		}
	}
}
