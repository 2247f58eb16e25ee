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
	for _, a := range answers {
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
		t.Errorf("compared %d images, want 1000", len(answers))
	}
}

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
		var unsupported jpeg.UnsupportedError
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
		case strings.Contains(a.File, "arithmetic"):
			if !errors.As(err, &unsupported) {
				t.Errorf("%s: got error %v, want an UnsupportedError", a.File, err)
			}
		default:
			if !errors.As(err, &format) {
				t.Errorf("%s: got error %v, want a FormatError", a.File, err)
			}
		}
		t.Logf("%s: %v", a.File, err)
	}
}
