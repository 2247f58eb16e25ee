package jpeg_test

import (
	"bytes"
	"errors"
	"image"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// FuzzDecode holds, for any bytes: no panic, only documented errors, a picture of the size that DecodeConfig
// announces, the same picture from a used Decoder, and the same pixels in a window.
func FuzzDecode(f *testing.F) {
	testutil.Seeds(f, "testdata/*.jpg")
	const limit = 1 << 16 // pixels
	var used jpeg.Decoder
	f.Fuzz(func(t *testing.T, data []byte) {
		var fresh jpeg.Decoder
		m, err := fresh.Decode(data, jpeg.Options{MaxPixels: limit})
		if err != nil {
			var format jpeg.FormatError
			var unsupported jpeg.UnsupportedError
			var size jpeg.SizeError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) && !errors.As(err, &size) {
				t.Fatalf("undocumented error %v", err)
			}
			if errors.As(err, &format) && format.Offset > len(data) {
				t.Fatalf("offset %d in %d bytes: %v", format.Offset, len(data), err)
			}
		} else if c, err := jpeg.DecodeConfig(data); err != nil || c.Width != m.Width || c.Height != m.Height {
			t.Fatalf("DecodeConfig = %+v, %v, of a picture of %dx%d", c, err, m.Width, m.Height)
		}
		again, againErr := used.Decode(data, jpeg.Options{MaxPixels: limit})
		if !errors.Is(againErr, err) || !bytes.Equal(again.Pix, m.Pix) {
			t.Fatalf("used decoder differs: error %v, want %v", againErr, err)
		}
		if err != nil {
			return
		}
		window := image.Rect(m.Width/3, m.Height/4, m.Width*2/3+1, m.Height*3/4+1)
		part, err := used.Decode(data, jpeg.Options{MaxPixels: limit, Window: window})
		if err != nil {
			t.Fatalf("with a window: %v", err)
		}
		for y := window.Min.Y; y < window.Max.Y; y++ {
			from, to := y*m.Stride+3*window.Min.X, y*m.Stride+3*window.Max.X
			if !bytes.Equal(part.Pix[from:to], m.Pix[from:to]) {
				t.Fatalf("row %d of window %v differs", y, window)
			}
		}
	})
}
