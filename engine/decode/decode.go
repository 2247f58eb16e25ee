// Package decode turns the bytes of an image file into RGB pixels, identical to those of Pillow's convert("RGB"). Package
// engine passes it uploads, and passes its pictures to preprocess. The format is detected by content, never by name.
//
// What a picture may cost is limited by its header, before memory is allocated: bytes, pixels, the memory that decoding
// takes, and more pixels than the file's bytes can hold. [Inspect] reads the header only. JPEG, PNG, GIF and BMP are
// decoded in rows where the file stores them in order, so that a large picture takes little memory. A caller ends
// decoding by Options.Check.
//
// JPEG is decoded by package jpeg; lossy WebP by golang.org/x/image, whose chroma is interpolated here as in libwebp; all
// else here. Of animations the first frame is decoded. Alpha is dropped. A file is decoded if all its pixels are there,
// whatever else is wrong with it. One difference from Pillow is intended: 16-bit grayscale keeps its upper byte, where
// Pillow turns nearly all of it white.
//
// See docs/formats.md and docs/decisions/0147-a-file-is-judged-by-its-pixels.md.
package decode

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/bmp"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/vp8"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/vp8l"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// The default limits.
const (
	DefaultMaxBytes  = 10 << 20
	DefaultMaxPixels = jpeg.DefaultMaxPixels
	// DefaultMaxMemory admits a progressive JPEG of 50 megapixels with the usual sampling, 160 MB, and every WebP.
	DefaultMaxMemory = 256 << 20
)

// RGB is a decoded picture: pixel (x, y) has its red, green and blue bytes at Pix[y*Stride+3*x:].
type RGB = jpeg.RGB

// Options configures decoding. The zero value decodes the whole picture within the default limits.
type Options struct {
	// Window, if not nil, returns the part of a picture of this size that is needed; pixels outside are unspecified and
	// cost less. It is called when the header has been read.
	Window func(width, height int) image.Rectangle
	// Rows, if not nil, receives the pixels instead of Decode's caller, as in jpeg.Options; rotated pictures come in one
	// piece.
	Rows func(picture RGB, first, end int)
	// Check, if not nil, is called between parts of the work, of a millisecond at most but for lossy WebP, whose pixels
	// are decoded in one part. Decode stops when it returns an error, and returns that error unchanged.
	Check func() error
	// MaxBytes limits the file: 0 means DefaultMaxBytes, -1 no limit.
	MaxBytes int
	// MaxPixels limits width times height: 0 means DefaultMaxPixels, -1 no limit. For WebP the limit is a third.
	MaxPixels int
	// MaxMemory limits the bytes that decoding takes, beside the file: 0 means DefaultMaxMemory, -1 no limit.
	MaxMemory int64
	// Orient rotates the picture by its EXIF orientation (CIPA DC-008, section 4.6.4). torchvision ignores that tag.
	Orient bool
}

// Header describes a picture before it is decoded.
type Header struct {
	Format        string // JPEG, PNG, GIF, BMP or WebP
	Width, Height int
	Memory        int64         // bytes that Decode takes at most with the same Options, beside the file
	Time          time.Duration // about how long Decode works on a CPU of 2022, within a factor of two or three
}

// Pixels returns the number of pixels.
func (h Header) Pixels() int64 { return int64(h.Width) * int64(h.Height) }

// Decoder decodes pictures and reuses its memory; JPEG files no larger than an earlier one allocate nothing. The zero
// value is ready to use. It is not safe for concurrent use.
type Decoder struct {
	jpeg   jpeg.Decoder
	png    pngReader
	gif    gifReader
	vp8    vp8.Decoder  // of lossy WebP
	vp8l   vp8l.Decoder // of lossless WebP
	chroma []byte       // of a row of lossy WebP, interpolated
	bmp    bmp.Reader
	pix    []byte // of formats other than JPEG
	turned []byte // of pictures turned by Options.Orient

	check   func() error // Options.Check
	stopped error        // the error of check, which the libraries of formats do not return unchanged
	work    int          // bytes processed since the last call of check
	proceed func() error // ask, as a value that is allocated once
}

// format is a supported format.
type format struct {
	name string
	// is recognizes the first bytes of a file.
	is func(data []byte) bool
	// size reads the header.
	size func(data []byte) (width, height int, err error)
	// cost returns what decode takes if rows are passed to Options.Rows. It refuses files that are too short for their
	// pixels.
	cost func(data []byte, width, height int) (cost, error)
	// decode makes the picture. Only the pixels in o.Window matter. It passes them to o.Rows if that is not nil, and
	// returns the picture without Pix.
	decode func(d *Decoder, data []byte, o jpeg.Options) (RGB, error)
	// share divides Options.MaxPixels: it is 1 for formats whose decoding Options.Check can end.
	share int
}

// cost is what decoding takes.
type cost struct {
	memory int64         // bytes, at most
	time   time.Duration // about
}

// perPixel is the time for a picture of this size.
func perPixel(each time.Duration, width, height int) time.Duration {
	return each * time.Duration(width) * time.Duration(height)
}

// Inspect reads the header of a file and applies all limits to it. It takes microseconds, or milliseconds if megabytes of small
// parts precede the picture, and allocates little whatever the picture; for JPEG nothing. Errors are those that Decode returns
// before it allocates memory.
func Inspect(data []byte, o Options) (Header, error) {
	_, h, err := inspect(data, &o)
	return h, err
}

func inspect(data []byte, o *Options) (*format, Header, error) {
	if limit := orDefault(o.MaxBytes, DefaultMaxBytes); limit >= 0 && len(data) > limit {
		return nil, Header{}, tooManyBytes(limit)
	}
	f, err := recognize(data)
	if err != nil {
		return nil, Header{}, err
	}
	h := Header{Format: f.name}
	if h.Width, h.Height, err = f.size(data); err != nil {
		return nil, Header{}, undecodable(f.name, err)
	}
	if h.Width < 1 || h.Height < 1 {
		return nil, Header{}, undecodable(f.name, fmt.Errorf("picture of %dx%d pixels", h.Width, h.Height))
	}
	if limit := orDefault(o.MaxPixels, DefaultMaxPixels); limit >= 0 && h.Pixels() > int64(limit/f.share) {
		return nil, Header{}, tooManyPixels(h, limit/f.share)
	}
	c, err := f.cost(data, h.Width, h.Height)
	if err != nil {
		return nil, Header{}, undecodable(f.name, err)
	}
	h.Memory, h.Time = c.memory, c.time
	switch {
	case o.Orient && orientation(data) != upright:
		h.Memory += 6 * h.Pixels() // as stored and as turned
	case o.Rows == nil:
		h.Memory += 3 * h.Pixels()
	}
	if limit := orDefault(o.MaxMemory, DefaultMaxMemory); limit >= 0 && h.Memory > limit {
		return nil, Header{}, tooMuchMemory(h, limit)
	}
	return f, h, nil
}

// Decode decodes a whole file. The picture is valid until the next call. Errors are *resnet18cloud.Error: CodeTooLarge
// beyond a limit, CodeUnsupported for recognized formats that are not supported, CodeUndecodable for everything else,
// with the reason; or that of Options.Check.
func (d *Decoder) Decode(data []byte, o Options) (RGB, error) {
	f, h, err := inspect(data, &o)
	if err != nil {
		return RGB{}, err
	}
	turn := upright
	if o.Orient {
		turn = orientation(data)
	}
	what := jpeg.Options{Window: image.Rect(0, 0, h.Width, h.Height), MaxPixels: -1} // limits have been checked
	if turn == upright {
		what.Rows = o.Rows
		if o.Window != nil {
			what.Window = what.Window.Intersect(o.Window(h.Width, h.Height))
		}
	}
	d.begin(o.Check)
	defer d.begin(nil)
	if o.Check != nil {
		what.Check = d.proceed
	}
	rgb, err := f.decode(d, data, what)
	if err == nil && turn != upright {
		rgb, err = d.turn(rgb, turn)
	}
	switch {
	case d.stopped != nil:
		return RGB{}, d.stopped
	case err != nil:
		return RGB{}, undecodable(f.name, err)
	}
	if o.Rows != nil && rgb.Pix != nil {
		o.Rows(rgb, 0, rgb.Height)
		rgb.Pix = nil
	}
	return rgb, nil
}

// begin prepares for a picture, during which check is asked.
func (d *Decoder) begin(check func() error) {
	d.check, d.stopped, d.work = check, nil, 0
	if d.proceed == nil {
		d.proceed = d.ask
	}
}

// ask calls Options.Check and keeps its error.
func (d *Decoder) ask() error {
	if d.check != nil && d.stopped == nil {
		d.stopped = d.check()
	}
	return d.stopped
}

// workPart is how many bytes are processed between calls of Options.Check: a fraction of a millisecond.
const workPart = 64 << 10

// did notes that n bytes have been processed. It returns an error if decoding must stop.
func (d *Decoder) did(n int) error {
	if d.work += n; d.work < workPart {
		return nil
	}
	d.work = 0
	return d.ask()
}

// memory returns n bytes of the decoder's memory for pixels. They are unspecified.
func (d *Decoder) memory(n int) []byte {
	d.pix = slices.Grow(d.pix[:0], n)[:n]
	return d.pix
}

// orDefault returns v, or def if v is zero.
func orDefault[T int | int64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// smaller is how people mend an image that is beyond a limit.
const smaller = "Send a smaller image; networks read at most 320x320 pixels."

func tooManyBytes(limit int) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge, Hint: smaller,
		Message: fmt.Sprintf("Image is larger than %.4g MiB", float64(limit)/(1<<20))}
}

func tooManyPixels(h Header, limit int) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge, Hint: smaller,
		Message: fmt.Sprintf("Image has too many pixels: %dx%d, the limit is %.4g megapixels for %s", h.Width, h.Height,
			float64(limit)/1e6, h.Format)}
}

func tooMuchMemory(h Header, limit int64) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge, Hint: smaller,
		Message: fmt.Sprintf("Image takes too much memory to decode: %.4g MiB for this %s file of %dx%d pixels, the limit is %.4g MiB",
			float64(h.Memory)/(1<<20), h.Format, h.Width, h.Height, float64(limit)/(1<<20))}
}

// undecodable makes the error of a damaged file, or one that uses an unsupported part of its format.
func undecodable(format string, err error) error {
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok { // a limit of the format
		return e
	}
	return &resnet18cloud.Error{
		Code:    resnet18cloud.CodeUndecodable,
		Message: fmt.Sprintf("Not a decodable image: %s file is %s", format, reason(err)),
		Hint:    "Check that the file is complete and opens in other programs. Saving it again as baseline JPEG or PNG may help.",
		Err:     err,
	}
}
