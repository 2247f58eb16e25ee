// Package preprocess turns a decoded picture into the network's input: 224x224 RGB pixels, the very bytes that
// torchvision's transforms Resize(256) and CenterCrop(224) give on a Pillow image. Only what the crop shows is
// computed, and [Window] tells a decoder which pixels that needs. Normalization is the network's own first step.
//
// Resize is Pillow's antialiased bilinear one: each output pixel is a weighted mean of the source pixels under a
// triangle that is as wide as two output pixels, first along rows, then along columns, in fixed-point arithmetic that
// rounds to 8 bits after each (Pillow, src/libImaging/Resample.c).
package preprocess

//go:generate sh -c "cd _asm && go run . -out ../resample_amd64.s -stubs ../stubs_amd64.go -pkg preprocess"

import (
	"image"
	"slices"
)

const (
	// Size is the side of the network's input in pixels.
	Size = 224
	// shorter is what the picture's shorter side is resized to before Size is cropped from its centre.
	shorter = 256
)

// Input is the network's input: Size rows from top to bottom of Size pixels from left to right, each of them a red, a
// green and a blue byte.
type Input = [Size * Size * 3]byte

// Window is the part of a picture of width x height pixels that the crop depends on; the rest need not be decoded.
func Window(width, height int) image.Rectangle {
	w, h := resized(width, height)
	x, y := newScale(width, w), newScale(height, h)
	left, right := x.window()
	top, bottom := y.window()
	return image.Rect(left, top, right, bottom)
}

// Resizer makes inputs from pictures, reusing its memory: nothing is allocated once it has seen the tallest picture.
// The zero value is ready. It is not safe for concurrent use.
type Resizer struct {
	plan plan
	rows []byte // the window, resized along rows: one row of rowStride bytes per source row
}

// rowStride is the distance of the rows between the two passes, in bytes. It leaves vectors room behind the last pixel.
const rowStride = 3*Size + 32

// Crop writes the input made from a picture of width x height pixels, whose pixel (x, y) has its red, green and blue
// bytes at pix[y*stride+3*x:]. Only the pixels in Window(width, height) are read. Width and height are at least 1.
func (r *Resizer) Crop(dst *Input, pix []byte, stride, width, height int) {
	r.Rows(pix, stride, width, height, 0, height)
	r.Finish(dst)
}

// Rows is given some of the rows of a picture of width x height pixels, from first to end-1: pixel (x, y) has its bytes at
// pix[(y-first)*stride+3*x:]. When all rows of Window(width, height) were given, Finish makes the input that Crop would
// make of the picture.
func (r *Resizer) Rows(pix []byte, stride, width, height, first, end int) {
	p := &r.plan
	p.set(width, height)
	all := (p.y.end - p.y.first) * rowStride
	r.rows = slices.Grow(r.rows[:0], all)[:all]
	from, end := max(first, p.y.first), min(end, p.y.end)
	if from < end {
		alongRows(r.rows[(from-p.y.first)*rowStride:], pix[(from-first)*stride+3*p.x.first:], stride, end-from, 3*(width-p.x.first), &p.x)
	}
}

// Finish writes the input made from the picture whose rows were given.
func (r *Resizer) Finish(dst *Input) {
	p := &r.plan
	for i := range Size {
		blend((*[3 * Size]byte)(dst[i*3*Size:]), r.rows[int(p.y.from[i])*rowStride:], p.y.of(i))
	}
}

// plan is what the size of a picture decides.
type plan struct {
	width, height int
	x, y          axis
}

// set computes the plan for a size, unless it is there already: pictures of one size often follow each other.
func (p *plan) set(width, height int) {
	if p.width == width && p.height == height {
		return
	}
	p.width, p.height = width, height
	w, h := resized(width, height)
	p.x.set(newScale(width, w))
	p.y.set(newScale(height, h))
}

// resized is the size after torchvision's Resize(256): the shorter side becomes 256, the longer one
// int(256*long/short). The quotient of integers is the same number, as float64 holds every value involved.
func resized(width, height int) (w, h int64) {
	if width <= height {
		return shorter, shorter * int64(height) / int64(width)
	}
	return shorter * int64(width) / int64(height), shorter
}
