// Package decode turns the bytes of an image file into RGB pixels, the very ones that Pillow's convert("RGB") gives:
// engine hands it what a client sent, and preprocess what it returns. The format is found by content, never by name.
// Limits on bytes and pixels are checked in the header, before memory is taken.
//
// JPEG goes through engine/jpeg; PNG, GIF, BMP and WebP, of animations the first frame, go through the standard library
// and golang.org/x/image, whose few differences from Pillow are mended here: alpha is dropped, not multiplied in; the
// transparent color of a GIF keeps its red, green and blue; WebP's chroma is interpolated as libwebp does it. One
// difference is on purpose: 16-bit grayscale keeps its upper byte, where Pillow turns nearly all of it white.
package decode

import (
	"fmt"
	"image"
	"slices"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// The limits that zero Options stand for.
const (
	DefaultMaxBytes  = 10 << 20
	DefaultMaxPixels = jpeg.DefaultMaxPixels
)

// RGB is a decoded picture: pixel (x, y) has its red, green and blue bytes at Pix[y*Stride+3*x:].
type RGB = jpeg.RGB

// Options says what to decode, and within which limits. The zero value decodes the whole picture.
type Options struct {
	// Window, if not nil, says which part of a picture of this size must be right; pixels outside are unspecified, and
	// cost less. It is called once the header is read.
	Window func(width, height int) image.Rectangle
	// Rows, if not nil, is given the picture instead of Decode's caller, as jpeg.Options say; formats other than JPEG, and
	// pictures that are turned, come in one piece.
	Rows func(picture RGB, first, end int)
	// MaxBytes limits the file: 0 means DefaultMaxBytes, -1 no limit.
	MaxBytes int
	// MaxPixels limits width times height: 0 means DefaultMaxPixels, -1 no limit.
	MaxPixels int
	// Orient turns the picture as its EXIF orientation says (CIPA DC-008, section 4.6.4). torchvision ignores that tag.
	Orient bool
}

// Decoder decodes one picture after the other and reuses its memory; JPEG files allocate nothing once the largest
// picture was seen. The zero value is ready. It is not safe for concurrent use.
type Decoder struct {
	jpeg   jpeg.Decoder
	pix    []byte // of formats other than JPEG
	turned []byte // of pictures turned by Options.Orient
}

// format is one kind of file we take.
type format struct {
	name string
	// is recognizes the first bytes of a file.
	is func(data []byte) bool
	// size reads the header.
	size func(d *Decoder, data []byte) (width, height int, err error)
	// decode makes the picture. Only the pixels in o.Window need be right. It may give it to o.Rows, without Pix then.
	decode func(d *Decoder, data []byte, o jpeg.Options) (RGB, error)
}

// Decode decodes a whole file. The picture is valid until the next call. Errors are *resnet18cloud.Error: CodeTooLarge
// beyond a limit, CodeUnsupported for formats we know but do not take, CodeUndecodable for all that is broken, with
// the reason.
func (d *Decoder) Decode(data []byte, o Options) (RGB, error) {
	if limit := orDefault(o.MaxBytes, DefaultMaxBytes); limit >= 0 && len(data) > limit {
		return RGB{}, tooManyBytes(limit)
	}
	f, err := recognise(data)
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
	what := jpeg.Options{Window: image.Rect(0, 0, width, height), MaxPixels: -1} // limits were checked
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

// picture makes an RGB of the given size in the decoder's memory. The pixels are unspecified.
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
		Hint:    "send a smaller one: the network looks at 224x224 pixels",
	}
}

func tooManyPixels(width, height, limit int) error {
	return &resnet18cloud.Error{
		Code:    resnet18cloud.CodeTooLarge,
		Message: fmt.Sprintf("Image has too many pixels: %dx%d, the limit is %.4g megapixels", width, height, float64(limit)/1e6),
		Hint:    "send a smaller one: the network looks at 224x224 pixels",
	}
}

// undecodable says that a file of a format we take is broken, or uses a part of the format that we do not decode.
func undecodable(format string, err error) error {
	return &resnet18cloud.Error{
		Code:    resnet18cloud.CodeUndecodable,
		Message: fmt.Sprintf("Not a decodable image: %s file is %s", format, reason(err)),
		Hint:    "check that the file is whole and opens elsewhere; saving it anew as baseline JPEG or PNG helps",
		Err:     err,
	}
}
