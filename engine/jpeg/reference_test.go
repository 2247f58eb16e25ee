package jpeg_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// answer is one line of the reference data: what Pillow gave for a file.
type answer struct {
	File      string `json:"file"`
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	Expect    string `json:"expect"`
	SHA256RGB string `json:"sha256_rgb"`
}

func readFile(tb testing.TB, elem ...string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func hashRGB(m jpeg.RGB) string {
	sum := sha256.Sum256(m.Pix)
	return hex.EncodeToString(sum[:])
}

// TestSampleImages compares all 1000 sample images with Pillow's pixels.
func TestSampleImages(t *testing.T) {
	t.Parallel()
	answers := testutil.Lines[answer](t, testutil.Shared(t, "reference", "torchvision.jsonl"))
	dir := testutil.Shared(t, "images", "imagenet-sample")
	var d jpeg.Decoder
	for i, a := range answers {
		if testing.Short() && i%10 != 0 {
			continue
		}
		m, err := d.Decode(readFile(t, dir, a.File), jpeg.Options{})
		if err != nil {
			t.Errorf("%s: %v", a.File, err)
			continue
		}
		if m.Width != a.Width || m.Height != a.Height {
			t.Errorf("%s: got %dx%d, want %dx%d", a.File, m.Width, m.Height, a.Width, a.Height)
		} else if hashRGB(m) != a.SHA256RGB {
			t.Errorf("%s: pixels differ from Pillow's", a.File)
		}
	}
	if len(answers) != 1000 {
		t.Errorf("there are %d images, want 1000", len(answers))
	}
}

// arithmeticSHA256 is the hash of the pixels that Debian's Pillow gives for jpeg-arithmetic.jpg if the whole file fits into
// its buffer: libjpeg cannot pause in arithmetic-coded data.
const arithmeticSHA256 = "0751b211242b8bbb909323c4d740e9ba2090447e70c7baa5b5f3dcfa7c6171c4"

// TestOddFiles compares unusual files with Pillow's pixels, and checks that bad ones are refused as what they are.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	answers := testutil.Lines[answer](t, testutil.Shared(t, "reference", "odd.jsonl"))
	dir := testutil.Shared(t, "images", "odd")
	var d jpeg.Decoder
	for _, a := range answers {
		if !strings.HasSuffix(a.File, ".jpg") {
			continue
		}
		m, err := d.Decode(readFile(t, dir, a.File), jpeg.Options{})
		var format jpeg.FormatError
		var size jpeg.SizeError
		switch {
		case a.Expect == "predictions":
			if err != nil {
				t.Errorf("%s: %v", a.File, err)
			} else if hashRGB(m) != a.SHA256RGB {
				t.Errorf("%s: pixels differ from Pillow's", a.File)
			}
		case strings.Contains(a.Expect, "too many pixels"):
			if !errors.As(err, &size) {
				t.Errorf("%s: got error %v, want a SizeError", a.File, err)
			}
		case strings.Contains(a.File, "arithmetic"): // refused by the libjpeg of Pillow's wheels, decoded by Debian's
			if err != nil {
				t.Errorf("%s: %v", a.File, err)
			} else if hashRGB(m) != arithmeticSHA256 {
				t.Errorf("%s: pixels differ from those of Debian's Pillow", a.File)
			}
		default:
			if !errors.As(err, &format) {
				t.Errorf("%s: got error %v, want a FormatError", a.File, err)
			}
		}
		t.Logf("%s: %v", a.File, err)
	}
}

// TestForeignFiles compares files of other projects with Pillow's pixels. Files that end before their data does are
// refused, although Pillow decodes them.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	refused := map[string]string{
		"jpeg-decoder--tests__reftest__images__partial_progressive.jpg": "entropy-coded data ends before the scan does",
	}
	files := 0
	var d jpeg.Decoder
	for _, a := range testutil.Lines[answer](t, testutil.Shared(t, "cases", "images", "expected.jsonl")) {
		if ext := filepath.Ext(a.File); ext != ".jpg" && ext != ".jpeg" {
			continue
		}
		files++
		m, err := d.Decode(readFile(t, testutil.Shared(t, "cases", "images", a.File)), jpeg.Options{})
		switch why := refused[a.File]; {
		case why != "":
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: error %v, want one with %q", a.File, err, why)
			}
		case err != nil:
			t.Errorf("%s: %v", a.File, err)
		case hashRGB(m) != a.SHA256RGB:
			t.Errorf("%s: pixels differ from Pillow's", a.File)
		}
	}
	if files < 3 {
		t.Errorf("%d JPEG files, want 3", files)
	}
}
