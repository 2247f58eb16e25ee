package preprocess

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
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

// TestCropperOrients crops a file whose EXIF data asks for a quarter turn.
func TestCropperOrients(t *testing.T) {
	t.Parallel()
	picture := image.NewRGBA(image.Rect(0, 0, 300, 300))
	draw.Draw(picture, image.Rect(0, 0, 300, 150), image.NewUniform(color.RGBA{R: 255, A: 255}), image.Point{}, draw.Src)
	draw.Draw(picture, image.Rect(0, 150, 300, 300), image.NewUniform(color.RGBA{B: 255, A: 255}), image.Point{}, draw.Src)
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		t.Fatal(err)
	}
	// The chunk eXIf behind the header: a TIFF file with one entry, orientation 6. The top becomes the right side.
	chunk := []byte("eXIfII*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00")
	const header = 8 + 25
	data := bytes.Clone(file.Bytes()[:header])
	data = binary.BigEndian.AppendUint32(data, uint32(len(chunk)-4))
	data = append(data, chunk...)
	data = binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(chunk))
	data = append(data, file.Bytes()[header:]...)
	for _, orient := range []bool{false, true} {
		c := Cropper{Spec: spec.Torchvision()}
		c.Spec.Orient = orient
		var in Input
		if err := c.Crop(&in, data); err != nil {
			t.Fatal(err)
		}
		want := byte(255) // red in the top right corner either way
		if got := in[3*223]; got != want {
			t.Errorf("orient %v: red at the top right is %d, want %d", orient, got, want)
		}
		if want = 255; orient {
			want = 0 // the top left was the bottom left
		}
		if got := in[0]; got != want {
			t.Errorf("orient %v: red at the top left is %d, want %d", orient, got, want)
		}
	}
}
