package decode

import (
	"image"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// TestDeliver holds in which order rows are made and where they go, as one picture and in strips.
func TestDeliver(t *testing.T) {
	t.Parallel()
	const width, height = 5000, 11 // four rows are a strip
	window := image.Rect(10, 1, 20, 10)
	for _, test := range []struct {
		order  order
		strips bool
		want   []int
	}{
		{downward, false, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{downward, true, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{upward, false, []int{9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{upward, true, []int{4, 3, 2, 1, 8, 7, 6, 5, 9}},
	} {
		var d Decoder
		var made, got []int // rows: as asked for, and by what is in them
		look := func(pix []byte, rows int) {
			for i := range rows {
				got = append(got, int(pix[3*width*i]))
			}
		}
		o := jpeg.Options{Window: window}
		if test.strips {
			o.Rows = func(picture RGB, first, end int) {
				if first != 1+len(got) {
					t.Errorf("%v: strip from row %d on after %d rows", test, first, len(got))
				}
				look(picture.Pix, end-first)
			}
		}
		rgb, err := d.deliver(width, height, o, test.order, func(dst []byte, y int) error {
			made = append(made, y)
			dst[0] = byte(y)
			return nil
		})
		if err != nil || rgb.Width != width || rgb.Height != height || (rgb.Pix == nil) != test.strips {
			t.Fatalf("%v: picture of %dx%d pixels, %d bytes, error %v", test, rgb.Width, rgb.Height, len(rgb.Pix), err)
		}
		if !test.strips {
			look(rgb.Pix[window.Min.Y*rgb.Stride:], window.Dy())
		}
		if !slices.Equal(made, test.want) {
			t.Errorf("%v: rows were made in the order %v", test, made)
		}
		if want := []int{1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(got, want) {
			t.Errorf("%v: rows %v were delivered, want %v", test, got, want)
		}
	}
}
