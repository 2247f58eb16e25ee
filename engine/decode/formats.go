package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/bmp"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// formats lists the supported formats.
var formats = [...]format{
	{"JPEG", prefix("\xff\xd8"), jpegSize, jpegCost, (*Decoder).decodeJPEG, 1},
	{"PNG", prefix(pngSignature), pngSize, pngCost, (*Decoder).decodePNG, 1},
	{"GIF", prefix("GIF8"), gifSize, gifCost, (*Decoder).decodeGIF, 1},
	{"BMP", prefix("BM"), bmpSize, bmpCost, (*Decoder).decodeBMP, 1},
	{"WebP", isWebP, webpSize, webpCost, (*Decoder).decodeWebP, 3},
}

// supported names them for people.
const supported = "JPEG, PNG, GIF, BMP and WebP are supported"

// foreign lists image formats that are recognized but not supported, with the first bytes of their files; a dot
// matches any byte. Those of HEIF are recognized by heif.
var foreign = [...]struct{ name, magic string }{
	{"TIFF", "II*\x00"},
	{"TIFF", "MM\x00*"},
	{"TIFF", "II+\x00"},
	{"TIFF", "MM\x00+"},
	{"JPEG 2000", "\x00\x00\x00\x0cjP  "},
	{"JPEG 2000", "\xff\x4f\xff\x51"},
	{"JPEG XL", "\xff\x0a"},
	{"JPEG XL", "\x00\x00\x00\x0cJXL "},
	{"Photoshop", "8BPS"},
	{"ICO", "\x00\x00\x01\x00"},
	{"SVG", "<svg"},
	{"PDF", "%PDF"},
}

// conversions says how to convert files of the foreign formats that cameras and programs make most. See docs/formats.md.
var conversions = map[string]string{
	"HEIC": `Convert it to JPEG, for example by "heif-convert photo.heic photo.jpg", or on macOS "sips -s format jpeg photo.heic --out ` +
		`photo.jpg". iPhones take JPEG with Settings > Camera > Formats > Most Compatible.`,
	"AVIF": `Convert it to PNG or JPEG, for example by "avifdec picture.avif picture.png".`,
	"TIFF": `Convert it to PNG, for example by "magick picture.tif picture.png".`,
}

// heif returns the name of a format whose files are HEIF containers (ISO/IEC 23008-12), empty for other files. The first
// box has their brands: the main one, a version, and those that the file is compatible with.
func heif(data []byte) string {
	if !matches(data, "....ftyp........") {
		return ""
	}
	end := min(int64(binary.BigEndian.Uint32(data)), int64(len(data)))
	general := false
	for brands := data[8:max(end, 8)]; len(brands) >= 4; brands = brands[4:] {
		switch string(brands[:3]) {
		case "avi":
			return "AVIF"
		case "hei", "hev":
			return "HEIC"
		case "mif", "msf":
			general = true
		}
	}
	if general {
		return "HEIF"
	}
	return ""
}

// unsupported is the error of a foreign format.
func unsupported(name string) error {
	hint := supported + "."
	if how := conversions[name]; how != "" {
		hint = how + " " + hint
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: fmt.Sprintf("Image format %s is not supported", name), Hint: hint}
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
			return nil, unsupported(f.name)
		}
	}
	if name := heif(data); name != "" {
		return nil, unsupported(name)
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

func jpegSize(data []byte) (width, height int, err error) {
	c, err := jpeg.DecodeConfig(data)
	return c.Width, c.Height, err
}

func jpegCost(data []byte, width, height int) (c cost, err error) {
	if c.memory, err = jpeg.Memory(data); err != nil {
		return c, err
	}
	config, err := jpeg.DecodeConfig(data)
	each := 4 * time.Nanosecond * time.Duration(config.Components)
	if config.Progressive {
		each *= 3
	}
	c.time = perPixel(each, width, height)
	if config.Arithmetic { // each bit may stand for a coefficient
		c.time += 8 * 40 * time.Nanosecond * time.Duration(len(data))
	}
	return c, err
}

func (d *Decoder) decodeJPEG(data []byte, o jpeg.Options) (RGB, error) { return d.jpeg.Decode(data, o) }

// stateBytes is more than a decoder takes for its state, whatever the picture.
const stateBytes = 128 << 10

// unsupportedError names a part of a format that is not supported.
type unsupportedError string

func (e unsupportedError) Error() string { return "not supported: " + string(e) }

// reason describes an error of a format's library for people; it completes "JPEG file is".
func reason(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "truncated"
	}
	if e, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return "not supported: " + e.Feature
	}
	if e, ok := errors.AsType[unsupportedError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[jpeg.FormatError](err); ok {
		return fmt.Sprintf("broken at byte %d: %s", e.Offset, e.Reason)
	}
	if e, ok := errors.AsType[bmp.UnsupportedError](err); ok {
		return "not supported: " + e.Feature
	}
	text := err.Error()
	for _, library := range []string{"bmp: ", "lzw: ", "vp8: ", "vp8l: "} {
		text = strings.TrimPrefix(text, library)
	}
	return "broken: " + text
}
