package preprocess

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// golden is one line of testdata/golden.jsonl, which testdata/generate.py wrote: what torchvision makes of a picture.
type golden struct {
	Kind          string
	Width, Height int
	SHA256        string
}

// jsonLines decodes every line of a file.
func jsonLines[T any](tb testing.TB, file string) []T {
	tb.Helper()
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var all []T
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			tb.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// picture is generate.py's function of that name.
func picture(kind string, width, height int) []byte {
	pix := make([]byte, 3*width*height)
	for i := range pix {
		v := uint32(i) * 2654435761
		v ^= v >> 15
		v *= 2246822519
		v ^= v >> 13
		pix[i] = byte(v >> 24)
		if kind == "white" || kind == "extremes" && v>>24&1 == 1 {
			pix[i] = 255
		} else if kind == "extremes" {
			pix[i] = 0
		}
	}
	return pix
}

func sum(in Input) string {
	s := sha256.Sum256(in)
	return hex.EncodeToString(s[:])
}

func TestCropEqualsTorchvision(t *testing.T) {
	t.Parallel()
	for _, g := range jsonLines[golden](t, filepath.Join("testdata", "golden.jsonl")) {
		t.Run(fmt.Sprintf("%s-%dx%d", g.Kind, g.Width, g.Height), func(t *testing.T) {
			t.Parallel()
			var r Resizer
			var in Input
			r.Crop(&in, picture(g.Kind, g.Width, g.Height), 3*g.Width, g.Width, g.Height)
			if got := sum(in); got != g.SHA256 {
				t.Errorf("SHA-256 of the crop %s, want %s", got, g.SHA256)
			}
		})
	}
}

// TestCropReadsOnlyTheWindow checks that pixels outside Window, and bytes between rows, change nothing.
func TestCropReadsOnlyTheWindow(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Point{{1, 1}, {2, 300}, {500, 375}, {375, 500}, {1000, 20}, {257, 256}, {100, 100}} {
		w, h := size.X, size.Y
		stride := 3*w + 5
		pix := make([]byte, stride*h)
		rng := rand.New(rand.NewPCG(uint64(w), uint64(h)))
		for i := range pix {
			pix[i] = byte(rng.Uint32())
		}
		var r Resizer
		var want, got Input
		r.Crop(&want, pix, stride, w, h)
		window := Window(r.Spec)(w, h)
		if !window.In(image.Rect(0, 0, w, h)) || window.Empty() {
			t.Fatalf("Window(%d, %d) = %v, want a part of the picture", w, h, window)
		}
		for i := range pix {
			if !(image.Point{X: i % stride / 3, Y: i / stride}).In(window) {
				pix[i] ^= 255
			}
		}
		if r.Crop(&got, pix, stride, w, h); !bytes.Equal(got, want) {
			t.Errorf("%dx%d: pixels outside %v matter", w, h, window)
		}
		// A picture that ends with its last pixel is not read beyond.
		exact := pix[: stride*(h-1)+3*w : stride*(h-1)+3*w]
		if r.Crop(&got, exact, stride, w, h); !bytes.Equal(got, want) {
			t.Errorf("%dx%d: bytes behind the picture matter", w, h)
		}
	}
}

// TestRows checks that a picture given in pieces, of whatever heights, makes the same crop.
func TestRows(t *testing.T) {
	t.Parallel()
	var r Resizer
	for _, size := range []image.Point{{1, 1}, {2, 300}, {500, 375}, {1000, 20}, {257, 256}, {1234, 999}} {
		w, h := size.X, size.Y
		pix := picture("noise", w, h)
		var want, got Input
		r.Crop(&want, pix, 3*w, w, h)
		for _, each := range []int{1, 2, 7, 16, 1000} {
			for first := 0; first < h; first += each {
				end := min(first+each, h)
				r.Rows(pix[3*w*first:3*w*end:3*w*end], 3*w, w, h, first, end)
			}
			if r.Finish(&got); !bytes.Equal(got, want) {
				t.Errorf("%dx%d in pieces of %d rows: another crop than in one", w, h, each)
			}
		}
	}
}

// TestWindow holds the reach of the crop for sizes worked out by hand: 500x375 is resized to 341x256, of which
// columns 58..281 and rows 16..239 are cropped.
func TestWindow(t *testing.T) {
	t.Parallel()
	for size, want := range map[image.Point]image.Rectangle{
		{256, 256}: image.Rect(16, 16, 241, 241), // the identity, whose triangle reaches one pixel on with weight zero
		{512, 512}: image.Rect(31, 31, 481, 481),
		{500, 375}: image.Rect(84, 23, 414, 352),
		{1, 1}:     image.Rect(0, 0, 1, 1),
	} {
		if got := Window(spec.Preprocess{})(size.X, size.Y); got != want {
			t.Errorf("Window(%d, %d) = %v, want %v", size.X, size.Y, got, want)
		}
	}
}

func TestCropAllocatesNothing(t *testing.T) {
	pix := picture("noise", 500, 375)
	for _, interpolation := range []spec.Interpolation{spec.Bilinear, spec.Bicubic, spec.Nearest} {
		r := Resizer{Spec: spec.Torchvision()}
		r.Spec.Interpolation = interpolation
		var in Input
		r.Crop(&in, pix, 1500, 375, 375)
		r.Crop(&in, pix, 1500, 500, 375)
		if n := testing.AllocsPerRun(10, func() {
			r.Crop(&in, pix, 1500, 500, 375)
			r.Crop(&in, pix, 1500, 375, 375)
		}); n != 0 {
			t.Errorf("%s: Crop allocates %v times", interpolation, n)
		}
	}
}

// TestReferenceCrops compares with torchvision's crops of the sample images. The pictures come from our own JPEG
// decoder, whose equality with Pillow's is its own test.
func TestReferenceCrops(t *testing.T) {
	t.Parallel()
	type reference struct {
		File   string
		SHA256 string `json:"sha256_crop224"`
	}
	files := jsonLines[reference](t, testutil.Shared(t, "reference", "torchvision.jsonl"))
	if testing.Short() {
		files = files[:50]
	}
	var d jpeg.Decoder
	var r Resizer
	var in Input
	for _, f := range files {
		data, err := os.ReadFile(testutil.Shared(t, "images", "imagenet-sample", f.File))
		if err != nil {
			t.Fatal(err)
		}
		c, err := jpeg.DecodeConfig(data)
		if err != nil {
			t.Fatalf("%s: %v", f.File, err)
		}
		rgb, err := d.Decode(data, jpeg.Options{Window: Window(r.Spec)(c.Width, c.Height)})
		if err != nil {
			t.Fatalf("%s: %v", f.File, err)
		}
		r.Crop(&in, rgb.Pix, rgb.Stride, rgb.Width, rgb.Height)
		if got := sum(in); got != f.SHA256 {
			t.Errorf("%s: SHA-256 of the crop %s, want %s", f.File, got, f.SHA256)
		}
	}
}
