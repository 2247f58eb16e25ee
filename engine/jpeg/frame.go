package jpeg

import (
	"image"
	"slices"
)

// maxDimension is libjpeg's limit to width and height, in pixels.
const maxDimension = 65500

// frame is the content of the frame header (T.81, B.2.2) and the sizes derived from it (A.1.1, A.2).
type frame struct {
	width, height int // pixels
	n             int // components
	progressive   bool
	arithmetic    bool
	component     [4]component
	hMax, vMax    int // largest sampling factors
	mcusX, mcusY  int // interleaved MCUs in the picture
}

// component is one color plane.
type component struct {
	id, tq byte // identifier, and the quantization table to use
	h, v   int  // sampling factors

	// Blocks that hold picture, as in scans of this component alone.
	blocksX, blocksY int
	// Samples that hold picture. Upsampling clamps here, not at the edge of the last block.
	width, height int

	plane        []byte   // decoded samples, stride*kept, whole MCUs
	coefs        []int16  // coefficients of all blocks in raster order, natural order in a block; progressive only
	nonzero      []uint64 // marks the nonzero AC coefficients of each block; progressive only
	stride, rows int
	kept         int // rows that plane holds: row y of the picture is its row y%kept
	expandX      int // output columns per sample
	expandY      int // output rows per sample

	// What the window needs of the component: samples with those that filters read, and their blocks.
	needSamples, needBlocks image.Rectangle

	quant    [64]uint16 // in natural order, fixed when the first scan of the component begins
	seen     bool       // a scan has held this component
	progress [64]int8   // per coefficient in zig-zag order: low bits still missing, -1 for all; progressive only
}

// comps returns the index range of the components.
func (f *frame) comps() []component { return f.component[:f.n] }

// find returns the index of the component with the identifier id, or -1. Some files give all components the same
// identifier: those in taken do not count.
func (f *frame) find(id byte, taken []int) int {
	for i, c := range f.comps() {
		if c.id == id && !slices.Contains(taken, i) {
			return i
		}
	}
	return -1
}

// layOut computes all sizes. It fails for samplings that libjpeg cannot upsample.
func (f *frame) layOut() error {
	f.hMax, f.vMax = 1, 1
	for _, c := range f.comps() {
		f.hMax, f.vMax = max(f.hMax, c.h), max(f.vMax, c.v)
	}
	f.mcusX = divUp(f.width, 8*f.hMax)
	f.mcusY = divUp(f.height, 8*f.vMax)
	for i := range f.comps() {
		c := &f.component[i]
		if f.hMax%c.h != 0 || f.vMax%c.v != 0 {
			return UnsupportedError{Feature: "fractional sampling factors"}
		}
		c.expandX, c.expandY = f.hMax/c.h, f.vMax/c.v
		c.width, c.height = divUp(f.width*c.h, f.hMax), divUp(f.height*c.v, f.vMax)
		c.blocksX, c.blocksY = divUp(c.width, 8), divUp(c.height, 8)
		c.stride, c.rows = f.mcusX*c.h*8, f.mcusY*c.v*8
	}
	return nil
}

// need records which parts of each component the pixels in window need.
func (f *frame) need(window image.Rectangle) {
	for i := range f.comps() {
		c := &f.component[i]
		c.needSamples, c.needBlocks = image.Rectangle{}, image.Rectangle{}
		if window.Empty() {
			continue
		}
		// Filters read one sample around.
		c.needSamples = image.Rect(
			window.Min.X/c.expandX-1, window.Min.Y/c.expandY-1,
			(window.Max.X-1)/c.expandX+2, (window.Max.Y-1)/c.expandY+2,
		).Intersect(image.Rect(0, 0, c.width, c.height))
		s := c.needSamples
		c.needBlocks = image.Rect(s.Min.X/8, s.Min.Y/8, divUp(s.Max.X, 8), divUp(s.Max.Y, 8))
	}
}

// keep decides how many rows of samples are in memory at a time. A row of MCUs becomes rows of the picture as soon as
// all components have it, which is immediately if the first scan has all of them, and in progressive files, whose
// coefficients are in memory, when they are complete. Filters look one row up and down, so two rows of MCUs suffice.
// Otherwise the components come one after the other, and all their rows are kept.
func (f *frame) keep(scanned int) {
	for i := range f.comps() {
		c := &f.component[i]
		c.kept = c.rows
		if f.progressive || scanned == f.n {
			c.kept = min(c.rows, 2*8*c.v)
		}
	}
}

// kept counts the samples in memory at a time.
func (f *frame) kept() int {
	n := 0
	for _, c := range f.comps() {
		n += c.stride * c.kept
	}
	return n
}

// needs reports whether the window needs a block.
func (c *component) needs(bx, by int) bool {
	n := &c.needBlocks
	return n.Min.X <= bx && bx < n.Max.X && n.Min.Y <= by && by < n.Max.Y
}

// blocks counts the blocks that a file of this frame must hold.
func (f *frame) blocks() int {
	n := 0
	for _, c := range f.comps() {
		n += c.blocksX * c.blocksY
	}
	return n
}

// samples counts the samples of all planes, padding to whole MCUs included.
func (f *frame) samples() int {
	n := 0
	for _, c := range f.comps() {
		n += c.stride * c.rows
	}
	return n
}

// rowSize is the length in bytes of one upsampled row of a component, padding included.
func (f *frame) rowSize() int { return f.mcusX * f.hMax * 8 }

func divUp(a, b int) int { return (a + b - 1) / b }
