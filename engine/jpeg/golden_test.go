package jpeg_test

import (
	"errors"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestGoldenFiles compares the files that testdata/generate.py makes with Pillow's pixels, and checks that what
// Pillow refuses is refused here, and only that.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	for _, a := range testutil.Lines[answer](t, "testdata/golden.jsonl") {
		t.Run(a.File, func(t *testing.T) {
			t.Parallel()
			var d jpeg.Decoder
			m, err := d.Decode(readFile(t, "testdata", a.File), jpeg.Options{})
			var format jpeg.FormatError
			var unsupported jpeg.UnsupportedError
			if err != nil && !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Fatalf("error %v is of no documented type", err)
			}
			switch {
			case a.SHA256RGB == "":
				if err == nil {
					t.Error("decoded, want an error")
				}
			case err != nil:
				t.Error(err)
			case hashRGB(m) != a.SHA256RGB:
				t.Error("pixels differ from Pillow's")
			}
		})
	}
}
