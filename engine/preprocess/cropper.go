package preprocess

import "github.com/resnet18cloud/resnet18cloud/engine/decode"

// Cropper turns image files into inputs of the network: it decodes them and crops the picture. It reuses its memory.
// The zero value is ready. It must not be used by two goroutines at once.
type Cropper struct {
	decoder decode.Decoder
	resizer Resizer
}

// Crop writes the input made from the bytes of an image file. Errors are those of [decode.Decoder.Decode].
func (c *Cropper) Crop(dst *Input, file []byte) error {
	rgb, err := c.decoder.Decode(file, decode.Options{Window: Window})
	if err != nil {
		return err
	}
	c.resizer.Crop(dst, rgb.Pix, rgb.Stride, rgb.Width, rgb.Height)
	return nil
}
