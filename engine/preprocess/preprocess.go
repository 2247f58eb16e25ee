// Package preprocess turns a decoded picture into a network's input: a square of RGB pixels, identical to what torchvision,
// timm, transformers and fastai make with Pillow. A [spec.Preprocess] says how: the new size, the filter, and the crop.
// Only the crop is computed, and [Window] returns the pixels that it needs. Normalization is the network's first step.
//
// Resizing is Pillow's: with bilinear and bicubic filters each output pixel is a weighted mean of the source pixels under
// a curve that becomes wider as the picture shrinks, first along rows, then along columns, in fixed-point arithmetic
// that rounds to 8 bits after each (Pillow 9.4, src/libImaging/Resample.c).
package preprocess

//go:generate sh -c "cd _asm && go run . -out ../resample_amd64.s -stubs ../stubs_amd64.go -pkg preprocess"

import (
	"image"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// Input is a network's input: rows from top to bottom of pixels from left to right, each of them a red, a green and a
// blue byte. There are spec.Preprocess.Crop rows of as many pixels. Methods that write an Input give it that length, and
// use its memory if there is enough.
type Input []byte

// Window returns a function that returns the part of a picture of width x height pixels that the crop depends on; the
// rest need not be decoded. The zero Preprocess stands for spec.Torchvision().
func Window(p spec.Preprocess) func(width, height int) image.Rectangle {
	p = orTorchvision(p)
	return func(width, height int) image.Rectangle {
		x, y := scales(p, width, height)
		left, right := x.window()
		top, bottom := y.window()
		return image.Rect(left, top, right, bottom)
	}
}

func orTorchvision(p spec.Preprocess) spec.Preprocess {
	if p == (spec.Preprocess{}) {
		return spec.Torchvision()
	}
	return p
}

// Resizer makes inputs from pictures and reuses its memory: pictures no taller than an earlier one allocate nothing.
// The zero value is ready to use. It is not safe for concurrent use.
type Resizer struct {
	// Spec says what to make; it must be valid. The zero value stands for spec.Torchvision(). Orient is not for a
	// Resizer, which sees no EXIF data. Spec may change after Finish.
	Spec spec.Preprocess

	plan plan
	rows []byte  // rows of plan.stride bytes, resized along their length: those of the window, or see nearest and long
	sums []int32 // see blendLong
}

// Crop writes the input made from a picture of width x height pixels, whose pixel (x, y) has its red, green and blue
// bytes at pix[y*stride+3*x:]. Only the pixels in Window(r.Spec)(width, height) are read. Width and height are at least 1.
func (r *Resizer) Crop(dst *Input, pix []byte, stride, width, height int) {
	r.Rows(pix, stride, width, height, 0, height)
	r.Finish(dst)
}

// Rows processes rows first to end-1 of a picture of width x height pixels: pixel (x, y) has its bytes at
// pix[(y-first)*stride+3*x:]. After all rows of Window(r.Spec)(width, height), from top to bottom, Finish writes the same
// input as Crop.
func (r *Resizer) Rows(pix []byte, stride, width, height, first, end int) {
	p := &r.plan
	p.set(orTorchvision(r.Spec), width, height)
	r.rows = resize(r.rows, p.rows()*p.stride)
	from, end := max(first, p.y.first), min(end, p.y.end)
	if from >= end {
		return
	}
	pix = pix[(from-first)*stride+3*p.x.first:]
	rowBytes := 3 * (width - p.x.first) // more than needed, so that vectors need not stop before the last pixel
	switch {
	case p.spec.Interpolation == spec.Nearest:
		r.nearest(pix, stride, rowBytes, from, end)
	case p.y.long:
		r.blendLong(pix, stride, rowBytes, from, end)
	default:
		p.x.resizeRows(r.rows[(from-p.y.first)*p.stride:], p.stride, pix, stride, end-from, rowBytes)
	}
}

// Finish writes the input from the rows passed to Rows.
func (r *Resizer) Finish(dst *Input) {
	p := &r.plan
	n := 3 * p.spec.Crop
	*dst = resize(*dst, p.spec.Crop*n)
	for i := range p.spec.Crop {
		to := (*dst)[i*n:][:n]
		switch {
		case p.spec.Interpolation == spec.Nearest:
			copy(to, r.rows[i*p.stride:])
		case p.y.long:
			clipAll(to, r.sums[i*n:])
		default:
			blend(to, r.rows[int(p.y.from[i])*p.stride:], p.stride, p.y.of(i))
		}
	}
}

// resize returns a slice of n elements with any content, the memory of s if that is enough.
func resize[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// plan is what depends on the size of a picture.
type plan struct {
	spec          spec.Preprocess
	width, height int
	stride        int // distance of the rows between the two passes, in bytes
	x, y          axis
}

// set computes the plan for a size, unless it is there already: pictures of one size often follow each other.
func (p *plan) set(s spec.Preprocess, width, height int) {
	if p.width == width && p.height == height && p.spec == s {
		return
	}
	p.spec, p.width, p.height = s, width, height
	p.stride = 3*s.Crop + 32 // vectors have room behind the last pixel
	x, y := scales(s, width, height)
	p.x.set(x, longRow)
	p.y.set(y, longColumn)
}

// rows is how many rows there are between the two passes.
func (p *plan) rows() int {
	switch {
	case p.spec.Interpolation == spec.Nearest:
		return p.spec.Crop
	case p.y.long:
		return longRows
	}
	return p.y.end - p.y.first
}
