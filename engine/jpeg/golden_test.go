package jpeg_test

import (
	"errors"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestGoldenFiles compares the files that testdata/generate.py makes with Pillow's pixels, and checks that what
// Pillow refuses is refused here, and reversely but for the listed exceptions.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	refusedOnlyHere := map[string]string{
		"arithmetic.jpg": "Debian's libjpeg-turbo decodes arithmetic coding, the one in Pillow's own wheels does not",
	}
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
			why, excepted := refusedOnlyHere[a.File]
			switch {
			case a.SHA256RGB == "" || excepted:
				if err == nil {
					t.Errorf("decoded, want an error (%s)", why)
				}
			case err != nil:
				t.Error(err)
			case hashRGB(m) != a.SHA256RGB:
				t.Error("pixels differ from Pillow's")
			}
		})
	}
}
