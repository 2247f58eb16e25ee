package preprocess

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// TestCropAndNormalize takes a file of one colour to tensors in both orders.
func TestCropAndNormalize(t *testing.T) {
	t.Parallel()
	picture := image.NewRGBA(image.Rect(0, 0, 300, 300))
	draw.Draw(picture, picture.Bounds(), image.NewUniform(color.RGBA{R: 255, G: 51, B: 0, A: 255}), image.Point{}, draw.Src)
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		t.Fatal(err)
	}
	var c Cropper
	var in Input
	if err := c.Crop(&in, file.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := [3]byte(in[len(in)-3:]); got != [3]byte{255, 51, 0} {
		t.Errorf("last pixel is %v, want 255, 51, 0", got)
	}
	want := [3]float64{(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0 - 0.406) / 0.225}
	for _, last := range []bool{false, true} {
		values := Normalize(in, spec.Preprocess{}, last)
		if len(values) != len(in) {
			t.Fatalf("%d values, want %d", len(values), len(in))
		}
		for channel, want := range want {
			at := channel * 224 * 224
			if last {
				at = channel
			}
			if got := float64(values[at]); math.Abs(got-want) > 1e-5 {
				t.Errorf("channel %d, channels last %v: %v, want %v", channel, last, got, want)
			}
		}
	}
	if err := c.Crop(&in, []byte("pixels")); err == nil {
		t.Error("not an image: no error")
	}
}
