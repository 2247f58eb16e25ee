package jpeg

import (
	"image"
	"image/color"
	"io"
)

func init() {
	image.RegisterFormat("jpeg", "\xff\xd8", DecodeImage, DecodeImageConfig)
}

// DecodeImage reads a file from r and decodes it with the zero Options. The picture is an *image.RGBA, opaque. It has
// the signature that image.RegisterFormat requires; a Decoder is faster.
func DecodeImage(r io.Reader) (image.Image, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var d Decoder
	rgb, err := d.Decode(data, Options{})
	if err != nil {
		return nil, err
	}
	m := image.NewRGBA(image.Rect(0, 0, rgb.Width, rgb.Height))
	for i, j := 0, 0; i < len(rgb.Pix); i, j = i+3, j+4 {
		copy(m.Pix[j:j+3], rgb.Pix[i:i+3])
		m.Pix[j+3] = 255
	}
	return m, nil
}

// DecodeImageConfig reads a file's header from r. It has the other signature that
// image.RegisterFormat requires.
func DecodeImageConfig(r io.Reader) (image.Config, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return image.Config{}, err
	}
	c, err := DecodeConfig(data)
	if err != nil {
		return image.Config{}, err
	}
	return image.Config{ColorModel: color.RGBAModel, Width: c.Width, Height: c.Height}, nil
}
