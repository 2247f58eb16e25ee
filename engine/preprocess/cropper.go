package preprocess

import (
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// Cropper turns image files into inputs of a network: it decodes them and crops the picture. It reuses its memory.
// The zero value is ready. It must not be used by two goroutines at once.
type Cropper struct {
	// Spec says what to make; it must be valid. The zero value stands for spec.Torchvision().
	Spec spec.Preprocess

	decoder decode.Decoder
	resizer Resizer
}

// Crop writes the input made from the bytes of an image file. Errors are those of [decode.Decoder.Decode].
func (c *Cropper) Crop(dst *Input, file []byte) error {
	rgb, err := c.decoder.Decode(file, decode.Options{Window: Window(c.Spec), Orient: c.Spec.Orient})
	if err != nil {
		return err
	}
	c.resizer.Spec = c.Spec
	c.resizer.Crop(dst, rgb.Pix, rgb.Stride, rgb.Width, rgb.Height)
	return nil
}
