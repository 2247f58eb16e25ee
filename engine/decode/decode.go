// Package decode turns the bytes of an image file into RGB pixels, identical to those of Pillow's convert("RGB"). Package
// engine passes it uploads, and passes its pictures to preprocess. The format is detected by content, never by name.
// Limits on bytes and pixels are checked against the header, before memory is allocated.
//
// JPEG is decoded by package jpeg; PNG, GIF, BMP and WebP, of animations the first frame, by the standard library and
// golang.org/x/image, whose few differences from Pillow are corrected here: alpha is dropped, not multiplied in; the
// transparent color of a GIF keeps its red, green and blue; WebP's chroma is interpolated as in libwebp. One difference
// is intended: 16-bit grayscale keeps its upper byte, where Pillow turns nearly all of it white.
package decode

import (
	"fmt"
	"image"
	"slices"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// The default limits.
const (
	DefaultMaxBytes  = 10 << 20
	DefaultMaxPixels = jpeg.DefaultMaxPixels
)

// RGB is a decoded picture: pixel (x, y) has its red, green and blue bytes at Pix[y*Stride+3*x:].
type RGB = jpeg.RGB

// Options configures decoding. The zero value decodes the whole picture within the default limits.
type Options struct {
	// Window, if not nil, returns the part of a picture of this size that is needed; pixels outside are unspecified and
	// cost less. It is called when the header has been read.
	Window func(width, height int) image.Rectangle
	// Rows, if not nil, receives the pixels instead of Decode's caller, as in jpeg.Options; formats other than JPEG, and
	// rotated pictures, come in one piece.
	Rows func(picture RGB, first, end int)
	// MaxBytes limits the file: 0 means DefaultMaxBytes, -1 no limit.
	MaxBytes int
	// MaxPixels limits width times height: 0 means DefaultMaxPixels, -1 no limit.
	MaxPixels int
	// Orient rotates the picture by its EXIF orientation (CIPA DC-008, section 4.6.4). torchvision ignores that tag.
	Orient bool
}

// Decoder decodes pictures and reuses its memory; JPEG files no larger than an earlier one allocate nothing. The zero
// value is ready to use. It is not safe for concurrent use.
type Decoder struct {
	jpeg   jpeg.Decoder
	pix    []byte // of formats other than JPEG
	turned []byte // of pictures turned by Options.Orient
}

// format is a supported format.
type format struct {
	name string
	// is recognizes the first bytes of a file.
	is func(data []byte) bool
	// size reads the header.
	size func(d *Decoder, data []byte) (width, height int, err error)
	// decode makes the picture. Only the pixels in o.Window matter. It may pass it to o.Rows, and return it without Pix.
	decode func(d *Decoder, data []byte, o jpeg.Options) (RGB, error)
}

// Decode decodes a whole file. The picture is valid until the next call. Errors are *resnet18cloud.Error: CodeTooLarge
// beyond a limit, CodeUnsupported for recognized formats that are not supported, CodeUndecodable for everything else,
// with the reason.
func (d *Decoder) Decode(data []byte, o Options) (RGB, error) {
	if limit := orDefault(o.MaxBytes, DefaultMaxBytes); limit >= 0 && len(data) > limit {
		return RGB{}, tooManyBytes(limit)
	}
	f, err := recognize(data)
	if err != nil {
		return RGB{}, err
	}
	width, height, err := f.size(d, data)
	if err != nil {
		return RGB{}, undecodable(f.name, err)
	}
	if width < 1 || height < 1 {
		return RGB{}, undecodable(f.name, fmt.Errorf("picture of %dx%d pixels", width, height))
	}
	if limit := orDefault(o.MaxPixels, DefaultMaxPixels); limit >= 0 && int64(width)*int64(height) > int64(limit) {
		return RGB{}, tooManyPixels(width, height, limit)
	}

	turn := upright
	if o.Orient {
		turn = orientation(data)
	}
	what := jpeg.Options{Window: image.Rect(0, 0, width, height), MaxPixels: -1} // limits have been checked
	if turn == upright {
		what.Rows = o.Rows
		if o.Window != nil {
			what.Window = what.Window.Intersect(o.Window(width, height))
		}
	}
	rgb, err := f.decode(d, data, what)
	if err != nil {
		return RGB{}, undecodable(f.name, err)
	}
	if turn != upright {
		rgb = d.turn(rgb, turn)
	}
	if o.Rows != nil && rgb.Pix != nil {
		o.Rows(rgb, 0, rgb.Height)
		rgb.Pix = nil
	}
	return rgb, nil
}

// picture returns an RGB of the given size in the decoder's memory. Its pixels are unspecified.
func (d *Decoder) picture(width, height int) RGB {
	n := 3 * width * height
	d.pix = slices.Grow(d.pix[:0], n)[:n]
	return RGB{Pix: d.pix, Width: width, Height: height, Stride: 3 * width}
}

func orDefault(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

func tooManyBytes(limit int) error {
	return &resnet18cloud.Error{
		Code:    resnet18cloud.CodeTooLarge,
		Message: fmt.Sprintf("Image is larger than %.4g MiB", float64(limit)/(1<<20)),
		Hint:    "Send a smaller image; the network reads 224x224 pixels.",
	}
}

func tooManyPixels(width, height, limit int) error {
	return &resnet18cloud.Error{
		Code:    resnet18cloud.CodeTooLarge,
		Message: fmt.Sprintf("Image has too many pixels: %dx%d, the limit is %.4g megapixels", width, height, float64(limit)/1e6),
		Hint:    "Send a smaller image; the network reads 224x224 pixels.",
	}
}

// undecodable makes the error of a damaged file, or one that uses an unsupported part of its format.
func undecodable(format string, err error) error {
	return &resnet18cloud.Error{
		Code:    resnet18cloud.CodeUndecodable,
		Message: fmt.Sprintf("Not a decodable image: %s file is %s", format, reason(err)),
		Hint:    "Check that the file is complete and opens in other programs. Saving it again as baseline JPEG or PNG may help.",
		Err:     err,
	}
}
