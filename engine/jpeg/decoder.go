package jpeg

import (
	"image"
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"
)

// DefaultMaxPixels is the default of Options.MaxPixels: 50 megapixels.
const DefaultMaxPixels = 50_000_000

// Options configures decoding. The zero value decodes the whole picture.
type Options struct {
	// Window is the part of the picture that is needed, in pixels; the zero rectangle means all of it. Pixels outside
	// have unspecified values, and cost less time.
	Window image.Rectangle

	// MaxPixels is the largest width times height accepted, checked before memory is allocated: 0
	// means DefaultMaxPixels, -1 no limit except the size of an int.
	MaxPixels int

	// Rows, if not nil, is called with the window's rows as they are decoded, a few at a time from top to bottom: rows
	// first to end-1 of picture, whose Pix begins with row first and is valid during the call. The picture is then never
	// in memory as a whole, and the one that Decode returns has no Pix. After an error earlier rows are invalid.
	Rows func(picture RGB, first, end int)

	// Check, if not nil, is called at least once for each row of MCUs in each scan, and for every 64 of them: a few
	// microseconds of work, in the costliest pictures about a millisecond. Decode stops when it returns an error, and
	// returns that error unchanged.
	Check func() error
}

// stripRows is the number of rows in a call of Options.Rows: the largest height of an MCU, and small enough for a
// first-level cache.
const stripRows = 16

// RGB is a decoded picture. Pixel (x, y) has its red, green and blue bytes at Pix[y*Stride+3*x:].
type RGB struct {
	Pix           []byte
	Width, Height int
	Stride        int // bytes from one row to the next
}

// Config is the content of a file's header.
type Config struct {
	Width, Height int  // in pixels
	Components    int  // 1 grayscale, 3 color, 4 CMYK
	Progressive   bool // coded in several passes of growing quality
	Arithmetic    bool // arithmetic-coded, not Huffman-coded
}

// Decoder decodes pictures and reuses its memory, which stays as large as the largest picture needed. The zero value is
// ready to use. It is not safe for concurrent use.
type Decoder struct {
	parser

	dcTable, acTable [4]huffman // by table number

	coded [4]coded // the components of the scan

	mcu        mcu
	units      []kernel.Unit // the blocks of an MCU
	bits       bitReader
	arithmetic arithmetic
	scratch    []byte   // entropy-coded bytes of one restart interval, without stuffing
	planes     []byte   // samples of all components, cut up by takeMemory
	coefs      []int16  // coefficients of all components, in progressive files
	nonzero    []uint64 // marks of all blocks, in progressive files
	rows       []byte   // upsampled rows of all components
	pix        []byte   // the picture from row top, all of it or a strip

	emitted int // rows of the picture already converted
	top     int
	window  image.Rectangle
	give    func(picture RGB, first, end int) // Options.Rows
	check   func() error                      // Options.Check
}

// Decode decodes a whole file held in data. The picture is valid until the next call. Errors are FormatError,
// UnsupportedError or SizeError, or that of Options.Check.
func (d *Decoder) Decode(data []byte, o Options) (RGB, error) {
	d.parser = newParser(data)
	defer func() { d.parser, d.give, d.check = parser{}, nil, nil }() // do not retain data
	if err := d.readUntilScan(); err != nil {
		return RGB{}, err
	}
	f := &d.frame
	if limit := o.maxPixels(); int64(f.width)*int64(f.height) > int64(limit) {
		return RGB{}, SizeError{Width: f.width, Height: f.height, MaxPixels: limit}
	}
	if err := d.layOut(); err != nil {
		return RGB{}, err
	}
	d.window = image.Rect(0, 0, f.width, f.height)
	if o.Window != (image.Rectangle{}) {
		d.window = d.window.Intersect(o.Window)
	}
	f.need(d.window)
	d.give, d.check = o.Rows, o.Check
	d.takeMemory()
	if err := d.readScans(); err != nil {
		return RGB{}, err
	}
	if f.progressive {
		if err := d.reconstruct(); err != nil {
			return RGB{}, err
		}
	}
	d.emit(f.height)
	picture := d.picture()
	if o.Rows != nil {
		picture.Pix = nil
	}
	return picture, nil
}

// proceed asks Options.Check whether to go on.
func (d *Decoder) proceed() error {
	if d.check == nil {
		return nil
	}
	return d.check()
}

func (d *Decoder) picture() RGB {
	return RGB{Pix: d.pix, Width: d.frame.width, Height: d.frame.height, Stride: 3 * d.frame.width}
}

// DecodeConfig reads the header of a file held in data, or as much of the file as holds the header. It allocates
// nothing.
func DecodeConfig(data []byte) (Config, error) {
	p := newParser(data)
	if err := p.readUntilFrame(); err != nil {
		return Config{}, err
	}
	f := &p.frame
	return Config{Width: f.width, Height: f.height, Components: f.n, Progressive: f.progressive, Arithmetic: f.arithmetic}, nil
}

// Memory returns how many bytes Decode takes at most for a file held in data, beside data itself, if the picture is
// passed to Options.Rows; otherwise the picture's 3*width*height bytes are added. It reads up to the first scan,
// refuses what Decode refuses by then, and allocates nothing.
//
//	24 megapixels, 4:2:0, baseline    11 MB for a file of 8 MB: a copy without stuffing, and 32 rows of samples
//	the same, progressive             87 MB: also a coefficient of 2 bytes, and a bit, for each of 36 million samples
func Memory(data []byte) (int64, error) {
	p := newParser(data)
	if err := p.readUntilScan(); err != nil {
		return 0, err
	}
	if err := p.layOut(); err != nil {
		return 0, err
	}
	f := &p.frame
	f.keep(p.scan.n)
	n := int64(f.kept()) + int64(f.n*f.rowSize()) + int64(3*f.width*min(f.height, stripRows))
	if f.progressive {
		n += int64(f.samples()) * 17 / 8 // coefficients, and a bit for each
	}
	return n + 5*int64(len(data))/4 + fixedBytes, nil // entropy-coded bytes are copied, into memory that grows by a quarter
}

// fixedBytes is more than a Decoder takes whatever the picture, for Huffman tables and small buffers.
const fixedBytes = 128 << 10

func (o Options) maxPixels() int {
	switch {
	case o.MaxPixels == 0:
		return DefaultMaxPixels
	case o.MaxPixels < 0:
		return math.MaxInt / 64 // sizes of buffers must not overflow where an int has 32 bits
	}
	return o.MaxPixels
}

// layOut computes the sizes of the frame whose first scan begins at pos, and refuses a file that is too short for it.
func (p *parser) layOut() error {
	if err := p.frame.layOut(); err != nil {
		return err
	}
	// A block costs at least one bit, the Huffman code of its DC difference: anything shorter is incomplete. There is no
	// such bound in arithmetic coding.
	if !p.frame.arithmetic && p.frame.blocks() > 8*(len(p.data)-p.pos) {
		return p.truncated()
	}
	return nil
}

// takeMemory sizes all buffers for the frame and assigns the components their parts.
func (d *Decoder) takeMemory() {
	f := &d.frame
	f.keep(d.scan.n)
	d.planes = resize(d.planes, f.kept())
	samples := f.samples()
	if f.progressive {
		d.coefs = resize(d.coefs, samples)
		clear(d.coefs)
		d.nonzero = resize(d.nonzero, samples/64)
		clear(d.nonzero)
	}
	planes, used := d.planes, 0
	for i := range f.comps() {
		c := &f.component[i]
		c.plane, planes = planes[:c.stride*c.kept], planes[c.stride*c.kept:]
		if n := c.stride * c.rows; f.progressive {
			c.coefs = d.coefs[used : used+n]
			c.nonzero = d.nonzero[used/64 : (used+n)/64]
			used += n
		}
	}
	d.rows = resize(d.rows, f.n*f.rowSize())
	rows := f.height
	d.emitted, d.top = 0, 0
	if d.give != nil {
		rows, d.top = min(rows, stripRows), d.window.Min.Y
	}
	d.pix = resize(d.pix, 3*f.width*rows)
}

// resize returns s with length n, in its old memory if that suffices. The contents are unspecified.
func resize[T any](s []T, n int) []T {
	return slices.Grow(s[:0], n)[:n]
}
