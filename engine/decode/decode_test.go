package decode

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// golden is one line of testdata/golden.jsonl, or of the reference data's odd.jsonl.
type golden struct {
	File          string
	Width, Height int
	SHA256        string `json:"sha256_rgb"`
	TurnedWidth   int    `json:"turned_width"`
	TurnedHeight  int    `json:"turned_height"`
	SHA256Turned  string `json:"sha256_turned"`
	Expect        string
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func sum(pix []byte) string {
	s := sha256.Sum256(pix)
	return hex.EncodeToString(s[:])
}

func check(t *testing.T, rgb RGB, err error, width, height int, sha string) {
	t.Helper()
	if err != nil {
		t.Errorf("Decode: %v", err)
		return
	}
	if rgb.Width != width || rgb.Height != height || rgb.Stride != 3*width {
		t.Errorf("picture of %dx%d pixels, stride %d, want %dx%d", rgb.Width, rgb.Height, rgb.Stride, width, height)
	} else if got := sum(rgb.Pix); got != sha {
		t.Errorf("SHA-256 of the pixels %s, want Pillow's %s", got, sha)
	}
}

func TestDecodeEqualsPillow(t *testing.T) {
	t.Parallel()
	var d Decoder
	for _, g := range testutil.Lines[golden](t, filepath.Join("testdata", "golden.jsonl")) {
		t.Run(g.File, func(t *testing.T) {
			data := readFile(t, filepath.Join("testdata", g.File))
			rgb, err := d.Decode(data, Options{})
			check(t, rgb, err, g.Width, g.Height, g.SHA256)
			if g.SHA256Turned == "" {
				g.TurnedWidth, g.TurnedHeight, g.SHA256Turned = g.Width, g.Height, g.SHA256
			}
			rgb, err = d.Decode(data, Options{Orient: true})
			check(t, rgb, err, g.TurnedWidth, g.TurnedHeight, g.SHA256Turned)
		})
	}
}

// TestRows holds, for every format, that the rows given make the picture that is returned without them, turned or not.
func TestRows(t *testing.T) {
	t.Parallel()
	var d Decoder
	for _, g := range testutil.Lines[golden](t, filepath.Join("testdata", "golden.jsonl")) {
		data := readFile(t, filepath.Join("testdata", g.File))
		for _, orient := range []bool{false, true} {
			want := g.SHA256
			if orient && g.SHA256Turned != "" {
				want = g.SHA256Turned
			}
			var pix []byte
			rgb, err := d.Decode(data, Options{Orient: orient, Rows: func(picture RGB, first, end int) {
				if first*picture.Stride != len(pix) {
					t.Errorf("%s: rows from %d on were given after %d bytes", g.File, first, len(pix))
				}
				pix = append(pix, picture.Pix[:(end-first)*picture.Stride]...)
			}})
			if err != nil || rgb.Pix != nil {
				t.Errorf("%s: %d bytes returned, error %v; want none", g.File, len(rgb.Pix), err)
			}
			if got := sum(pix); got != want {
				t.Errorf("%s, turned as EXIF says %t: SHA-256 of the rows %s, want %s", g.File, orient, got, want)
			}
		}
	}
}

// TestOddFiles holds what is expected of the unusual and broken files of the reference data.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	var d Decoder
	for _, g := range testutil.Lines[golden](t, testutil.Shared(t, "reference", "odd.jsonl")) {
		t.Run(g.File, func(t *testing.T) {
			rgb, err := d.Decode(readFile(t, testutil.Shared(t, "images", "odd", g.File)), Options{})
			if g.File == "jpeg-arithmetic.jpg" { // the libjpeg of Pillow's wheels refuses it, Debian's gives these pixels
				check(t, rgb, err, g.Width, g.Height, "0751b211242b8bbb909323c4d740e9ba2090447e70c7baa5b5f3dcfa7c6171c4")
				return
			}
			switch g.Expect {
			case "predictions":
				check(t, rgb, err, g.Width, g.Height, g.SHA256)
			case "refused: not a decodable image":
				want := "Not a decodable image: "
				if slices.Contains([]string{"bad-text.jpg", "bad-zeroed-header.jpg"}, g.File) {
					want = "Unrecognized image format"
				}
				checkError(t, err, resnet18cloud.CodeUndecodable, want)
			case "refused: too many pixels":
				checkError(t, err, resnet18cloud.CodeTooLarge, "Image has too many pixels: ")
			default:
				t.Errorf("unknown expectation %q", g.Expect)
			}
		})
	}
}

// TestPillowsCases holds the pixels of Pillow for files of other projects' test data that were once refused or read
// differently.
func TestPillowsCases(t *testing.T) {
	t.Parallel()
	var d Decoder
	for _, g := range testutil.Lines[golden](t, testutil.Shared(t, "cases", "images", "expected.jsonl")) {
		switch ext := filepath.Ext(g.File); {
		case ext == ".jpg", ext == ".jpeg": // package jpeg's tests hold those
			continue
		case strings.HasSuffix(g.File, "input_16.png"): // the intended difference, see TestSixteenBits
			continue
		}
		t.Run(g.File, func(t *testing.T) {
			rgb, err := d.Decode(readFile(t, testutil.Shared(t, "cases", "images", g.File)), Options{})
			check(t, rgb, err, g.Width, g.Height, g.SHA256)
		})
	}
}

func checkError(t *testing.T, err error, code resnet18cloud.Code, message string) {
	t.Helper()
	e, ok := errors.AsType[*resnet18cloud.Error](err)
	if !ok || e.Code != code || !strings.HasPrefix(e.Message, message) || e.Hint == "" {
		t.Errorf("error %#v, want code %s, message %q... and a hint", err, code, message)
	}
}

// TestWindow checks that the pixels in the window are those of the whole picture, for every format.
func TestWindow(t *testing.T) {
	t.Parallel()
	var whole, part Decoder
	windows := []image.Rectangle{
		image.Rect(0, 0, 1000, 1000), image.Rect(0, 0, 1, 1), image.Rect(7, 5, 20, 22), image.Rect(30, 0, 37, 3),
		image.Rect(35, 27, 37, 29), image.Rect(1, 2, 2, 29),
	}
	for _, g := range testutil.Lines[golden](t, filepath.Join("testdata", "golden.jsonl")) {
		data := readFile(t, filepath.Join("testdata", g.File))
		want, err := whole.Decode(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range windows {
			w = w.Intersect(image.Rect(0, 0, g.Width, g.Height))
			if w.Empty() {
				continue
			}
			got, err := part.Decode(data, Options{Window: func(width, height int) image.Rectangle {
				if width != g.Width || height != g.Height {
					t.Errorf("%s: window asked for a picture of %dx%d", g.File, width, height)
				}
				return w
			}})
			if err != nil {
				t.Fatal(err)
			}
			for y := w.Min.Y; y < w.Max.Y; y++ {
				a, b := y*want.Stride+3*w.Min.X, y*want.Stride+3*w.Max.X
				if !bytes.Equal(got.Pix[a:b], want.Pix[a:b]) {
					t.Errorf("%s: row %d of window %v differs", g.File, y, w)
					break
				}
			}
		}
	}
}

// TestSixteenBits checks that 16-bit PNG files give their upper bytes, grayscale included.
func TestSixteenBits(t *testing.T) {
	t.Parallel()
	r := image.Rect(0, 0, 3, 2)
	gray, rgb, rgba := image.NewGray16(r), image.NewRGBA64(r), image.NewNRGBA64(r)
	for i := range 6 {
		x, y, v := i%3, i/3, uint16(i*9000)
		gray.SetGray16(x, y, color.Gray16{Y: v})
		rgb.SetRGBA64(x, y, color.RGBA64{R: v, G: v + 300, B: v + 3000, A: 0xFFFF})
		rgba.SetNRGBA64(x, y, color.NRGBA64{R: v, G: v + 300, B: v + 3000, A: v})
	}
	for name, m := range map[string]image.Image{"gray": gray, "RGB": rgb, "RGBA": rgba} {
		var file bytes.Buffer
		if err := png.Encode(&file, m); err != nil {
			t.Fatal(err)
		}
		var d Decoder
		got, err := d.Decode(file.Bytes(), Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range 6 {
			v := i * 9000
			want := [3]byte{byte(v >> 8), byte((v + 300) >> 8), byte((v + 3000) >> 8)}
			if name == "gray" {
				want = [3]byte{want[0], want[0], want[0]}
			}
			if p := [3]byte(got.Pix[3*i:]); p != want {
				t.Errorf("%s: pixel %d is %v, want %v", name, i, p, want)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	data := readFile(t, filepath.Join("testdata", "png-rgb.png")) // 37x29
	var d Decoder
	for _, test := range []struct {
		o       Options
		message string
	}{
		{Options{}, ""},
		{Options{MaxPixels: 37 * 29, MaxBytes: len(data)}, ""},
		{Options{MaxPixels: -1, MaxBytes: -1}, ""},
		{Options{MaxPixels: 37*29 - 1}, "Image has too many pixels: 37x29, the limit is 0.001072 megapixels"},
		{Options{MaxBytes: len(data) - 1}, "Image is larger than "},
	} {
		_, err := d.Decode(data, test.o)
		if test.message == "" {
			if err != nil {
				t.Errorf("Decode with %+v: %v", test.o, err)
			}
			continue
		}
		checkError(t, err, resnet18cloud.CodeTooLarge, test.message)
	}
}

func TestForeignFormats(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]struct{ name, hint string }{
		"II*\x00\x08\x00\x00\x00":                                  {"TIFF", "magick picture.tif picture.png"},
		"MM\x00+\x00\x08\x00\x00":                                  {"TIFF", "magick"},
		"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00avifmif1miafMA1A": {"AVIF", "avifdec"},
		"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic":         {"HEIC", "heif-convert photo.heic photo.jpg"},
		"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heix":         {"HEIC", "Most Compatible"},
		"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif":         {"AVIF", "avifdec"},
		"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00miaf\x00heic":     {"HEIF", ""},
		"\x00\x00\x00\x20ftypheic\x00\x00\x00\x00":                 {"HEIC", ""},
		"8BPS\x00\x01":     {"Photoshop", ""},
		"<svg xmlns=\"\">": {"SVG", ""},
	} {
		var d Decoder
		_, err := d.Decode([]byte(data), Options{})
		checkError(t, err, resnet18cloud.CodeUnsupported, "Image format "+want.name+" is not supported")
		if e := resnet18cloud.AsError(err); !strings.Contains(e.Hint, want.hint) || !strings.Contains(e.Hint, supported) {
			t.Errorf("%s: hint %q, want one with %q and the supported formats", want.name, e.Hint, want.hint)
		}
	}
	for _, data := range []string{"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomiso2", "\x00\x00\x00\x00ftypheic\x00\x00\x00\x00", "\x00\x00\x00\x18ftyp"} {
		var d Decoder
		_, err := d.Decode([]byte(data), Options{})
		checkError(t, err, resnet18cloud.CodeUndecodable, "Unrecognized image format")
	}
}

// TestUnsupportedParts checks that parts of a format that are not supported are named.
func TestUnsupportedParts(t *testing.T) {
	t.Parallel()
	data := readFile(t, filepath.Join("testdata", "png-rgb.png"))
	apple := slices.Concat(data[:8], decodetest.Chunk("CgBI", []byte{0x50, 0, 0x20, 2}), data[8:])
	embedded := readFile(t, filepath.Join("testdata", "bmp-rgb.bmp"))
	embedded[30] = 4
	for message, data := range map[string][]byte{
		"PNG file is not supported: Apple's CgBI variant of PNG": apple,
		"BMP file is not supported: an embedded JPEG file":       embedded,
	} {
		var d Decoder
		_, err := d.Decode(data, Options{})
		checkError(t, err, resnet18cloud.CodeUndecodable, "Not a decodable image: "+message)
	}
}

// TestTruncated checks that no part of a file is taken for the whole, whatever the format.
func TestTruncated(t *testing.T) {
	t.Parallel()
	var d Decoder
	for _, file := range []string{"jpeg.jpg", "png-rgb.png", "png-palette.png", "gif.gif", "bmp-rgb.bmp", "webp-lossy-17x18.webp", "webp-lossless.webp"} {
		data := readFile(t, filepath.Join("testdata", file))
		for n := range len(data) * 9 / 10 {
			_, err := d.Decode(data[:n], Options{})
			if e, ok := errors.AsType[*resnet18cloud.Error](err); !ok || e.Code != resnet18cloud.CodeUndecodable {
				t.Fatalf("%s cut to %d of %d bytes: error %v, want CodeUndecodable", file, n, len(data), err)
			}
		}
	}
}

// TestBombs checks that a header which promises much costs nothing.
func TestBombs(t *testing.T) {
	t.Parallel()
	resize := func(file string, at int, width, height []byte) []byte {
		data := readFile(t, filepath.Join("testdata", file))
		copy(data[at:], width)
		copy(data[at+len(width):], height)
		return data
	}
	le16, le32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	for name, data := range map[string][]byte{
		"gif":  resize("gif.gif", 6, le16(nil, 65535), le16(nil, 65535)),
		"bmp":  resize("bmp-rgb.bmp", 18, le32(nil, 1<<20), le32(nil, 1<<20)),
		"webp": resize("webp-lossy-64x31.webp", 26, le16(nil, 16383), le16(nil, 16383)),
	} {
		var d Decoder
		_, err := d.Decode(data, Options{})
		checkError(t, err, resnet18cloud.CodeTooLarge, "Image has too many pixels: ")
		if d.pix != nil {
			t.Errorf("%s: memory was taken for the picture", name)
		}
	}
}

// TestFrameBeyondCanvas checks that an animation's frame cannot be larger than the canvas, whose size was checked.
func TestFrameBeyondCanvas(t *testing.T) {
	t.Parallel()
	for _, field := range []int{0, 3, 6, 9} { // of the first frame's header: x, y, width, height
		data := readFile(t, filepath.Join("testdata", "webp-animated.webp"))
		at := bytes.Index(data, []byte("ANMF")) + 8 + field
		data[at+1]++ // 256 or 512 more
		var d Decoder
		_, err := d.Decode(data, Options{})
		checkError(t, err, resnet18cloud.CodeUndecodable, "Not a decodable image: WebP file is broken: frame exceeds its canvas")
	}
}

// TestPictureLargerThanCanvas checks that a WebP file's picture has the size that the container says and that was checked, before
// memory is taken.
func TestPictureLargerThanCanvas(t *testing.T) {
	t.Parallel()
	for _, file := range []decodetest.WebP{{}, {Lossy: true, Bytes: 1000}, {Animated: true}, {Animated: true, Lossy: true, Bytes: 1000}} {
		data := file.Make(1000, 700)
		if file.Animated {
			at := bytes.Index(data, []byte("ANMF"))
			copy(data[at+8+6:], make([]byte, 6)) // a frame of 1x1
		} else {
			extended := append([]byte("VP8X\x0a\x00\x00\x00"), make([]byte, 10)...) // a canvas of 1x1
			data = slices.Insert(data, 12, extended...)
			binary.LittleEndian.PutUint32(data[4:], uint32(len(data)-8))
		}
		const message = "Not a decodable image: WebP file is broken: picture size differs from the header"
		_, err := Inspect(data, Options{})
		checkError(t, err, resnet18cloud.CodeUndecodable, message)
		var d Decoder
		_, err = d.Decode(data, Options{})
		checkError(t, err, resnet18cloud.CodeUndecodable, message)
	}
}

func TestJPEGAllocatesNothing(t *testing.T) {
	data := readFile(t, filepath.Join("testdata", "jpeg.jpg"))
	var d Decoder
	window := func(int, int) image.Rectangle { return image.Rect(0, 0, 20, 20) }
	decode := func() {
		if _, err := d.Decode(data, Options{Window: window}); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	if n := testing.AllocsPerRun(10, decode); n != 0 {
		t.Errorf("Decode of JPEG allocates %v times", n)
	}
}

// FuzzDecode checks that any bytes give a picture as large as its pixels, or one of the errors that Decode names.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(readFile(f, file), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, orient bool) {
		var d Decoder
		rgb, err := d.Decode(data, Options{MaxPixels: 1 << 20, Orient: orient})
		if err == nil {
			if rgb.Width < 1 || rgb.Height < 1 || rgb.Stride < 3*rgb.Width || len(rgb.Pix) < rgb.Stride*(rgb.Height-1)+3*rgb.Width {
				t.Errorf("picture of %dx%d pixels, stride %d, %d bytes", rgb.Width, rgb.Height, rgb.Stride, len(rgb.Pix))
			}
			return
		}
		switch resnet18cloud.AsError(err).Code {
		case resnet18cloud.CodeUndecodable, resnet18cloud.CodeUnsupported, resnet18cloud.CodeTooLarge:
		default:
			t.Errorf("Decode: %v", err)
		}
	})
}

// BenchmarkDecode takes the odd files of the reference data that are usual pictures in their formats.
func BenchmarkDecode(b *testing.B) {
	for _, file := range []string{"jpeg-420.jpg", "png-interlaced.png", "png-palette.png", "gif.gif", "bmp.bmp", "webp-lossy.webp", "webp-lossless.webp"} {
		data := readFile(b, testutil.Shared(b, "images", "odd", file))
		b.Run(file, func(b *testing.B) {
			var d Decoder
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := d.Decode(data, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
