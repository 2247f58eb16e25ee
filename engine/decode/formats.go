package decode

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// formats lists the supported formats.
var formats = [...]format{
	{"JPEG", prefix("\xff\xd8"), (*Decoder).jpegSize, (*Decoder).decodeJPEG},
	{"PNG", prefix("\x89PNG\r\n\x1a\n"), sizeBy(png.DecodeConfig), decodeBy(png.Decode)},
	{"GIF", prefix("GIF8"), sizeBy(gif.DecodeConfig), (*Decoder).decodeGIF},
	{"BMP", prefix("BM"), sizeBy(bmp.DecodeConfig), decodeBy(bmp.Decode)},
	{"WebP", isWebP, sizeBy(webp.DecodeConfig), (*Decoder).decodeWebP},
}

// supported names them for people.
const supported = "JPEG, PNG, GIF, BMP and WebP are supported"

// foreign lists image formats that are recognized but not supported, with the first bytes of their files; a dot
// matches any byte.
var foreign = [...]struct{ name, magic string }{
	{"TIFF", "II*\x00"},
	{"TIFF", "MM\x00*"},
	{"AVIF", "....ftypavif"},
	{"HEIC", "....ftyphei"},
	{"HEIC", "....ftypmif1"},
	{"JPEG 2000", "\x00\x00\x00\x0cjP  "},
	{"JPEG 2000", "\xff\x4f\xff\x51"},
	{"JPEG XL", "\xff\x0a"},
	{"JPEG XL", "\x00\x00\x00\x0cJXL "},
	{"Photoshop", "8BPS"},
	{"ICO", "\x00\x00\x01\x00"},
	{"SVG", "<svg"},
	{"PDF", "%PDF"},
}

// recognize finds the format of a file by its first bytes.
func recognize(data []byte) (*format, error) {
	for i := range formats {
		if formats[i].is(data) {
			return &formats[i], nil
		}
	}
	for _, f := range foreign {
		if matches(data, f.magic) {
			return nil, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported,
				Message: fmt.Sprintf("Image format %s is not supported", f.name), Hint: supported}
		}
	}
	message := "Unrecognized image format"
	if len(data) == 0 {
		message = "Not a decodable image: the file is empty"
	}
	return nil, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: message, Hint: supported}
}

func prefix(magic string) func([]byte) bool {
	return func(data []byte) bool { return len(data) >= len(magic) && string(data[:len(magic)]) == magic }
}

func isWebP(data []byte) bool { return matches(data, "RIFF....WEBP") }

// matches reports whether data begins with magic, in which a dot stands for any byte.
func matches(data []byte, magic string) bool {
	if len(data) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '.' && magic[i] != data[i] {
			return false
		}
	}
	return true
}

func (d *Decoder) jpegSize(data []byte) (width, height int, err error) {
	c, err := jpeg.DecodeConfig(data)
	return c.Width, c.Height, err
}

func (d *Decoder) decodeJPEG(data []byte, o jpeg.Options) (RGB, error) { return d.jpeg.Decode(data, o) }

// sizeBy makes format.size of a library's DecodeConfig.
func sizeBy(config func(io.Reader) (image.Config, error)) func(*Decoder, []byte) (int, int, error) {
	return func(_ *Decoder, data []byte) (width, height int, err error) {
		c, err := config(bytes.NewReader(data))
		return c.Width, c.Height, err
	}
}

// decodeBy makes format.decode of a library's Decode.
func decodeBy(decode func(io.Reader) (image.Image, error)) func(*Decoder, []byte, jpeg.Options) (RGB, error) {
	return func(d *Decoder, data []byte, o jpeg.Options) (RGB, error) {
		m, err := decode(bytes.NewReader(data))
		if err != nil {
			return RGB{}, err
		}
		rgb := d.picture(m.Bounds().Dx(), m.Bounds().Dy())
		return rgb, convert(rgb, m, o.Window)
	}
}

// reason describes an error of a format's library for people; it completes "JPEG file is".
func reason(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "truncated"
	}
	if e, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return "not supported: " + e.Feature
	}
	if e, ok := errors.AsType[jpeg.FormatError](err); ok {
		return fmt.Sprintf("broken at byte %d: %s", e.Offset, e.Reason)
	}
	if errors.Is(err, bmp.ErrUnsupported) {
		return "not supported: only uncompressed pixels of 1, 2, 4, 8, 24 or 32 bits are"
	}
	text := err.Error()
	for _, library := range []string{"png: ", "gif: ", "bmp: ", "webp: ", "vp8: ", "vp8l: ", "riff: "} {
		text = strings.TrimPrefix(text, library)
	}
	return "broken: " + text
}
