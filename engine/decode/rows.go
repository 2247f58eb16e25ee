package decode

import "github.com/resnet18cloud/resnet18cloud/engine/jpeg"

// strip returns how many rows of a picture of this width are passed to Options.Rows at a time: about 64 KiB, which
// stays in a cache, but no more than JPEG's.
func strip(width int) int { return min(max((64<<10)/(3*width), 1), 16) }

// stripBytes is the memory of such rows.
func stripBytes(width int) int64 { return 3 * int64(width) * int64(strip(width)) }

// order is the order in which deliver asks for the rows of a strip.
type order bool

const (
	downward order = false
	upward   order = true
)

// deliver makes a picture of rows. It calls row for each row y of the window, with memory for a whole row: pixel x belongs at
// dst[3*x:], and only those in the window matter. Strips of rows are made from top to bottom, and rows of a strip in the given
// order. The strips go to o.Rows, or the picture is one strip that is returned.
func (d *Decoder) deliver(width, height int, o jpeg.Options, order order, row func(dst []byte, y int) error) (RGB, error) {
	rows, window := height, o.Window
	if o.Rows != nil {
		rows = min(strip(width), height)
	}
	rgb := RGB{Pix: d.memory(3 * width * rows), Width: width, Height: height, Stride: 3 * width}
	for first := window.Min.Y; first < window.Max.Y; {
		end, pix := min(first+rows, window.Max.Y), rgb.Pix
		if o.Rows == nil {
			pix = pix[first*rgb.Stride:]
		}
		for i := range end - first {
			if order == upward {
				i = end - first - 1 - i
			}
			if err := row(pix[i*rgb.Stride:][:rgb.Stride], first+i); err != nil {
				return RGB{}, err
			}
			if err := d.did(rgb.Stride); err != nil {
				return RGB{}, err
			}
		}
		if o.Rows != nil {
			o.Rows(rgb, first, end)
		}
		first = end
	}
	if o.Rows != nil {
		rgb.Pix = nil
	}
	return rgb, nil
}

// give passes the window of a complete picture to o.Rows in strips, if that is not nil.
func (d *Decoder) give(rgb RGB, o jpeg.Options) (RGB, error) {
	if o.Rows == nil {
		return rgb, nil
	}
	for y := o.Window.Min.Y; y < o.Window.Max.Y; {
		end := min(y+strip(rgb.Width), o.Window.Max.Y)
		part := rgb
		part.Pix = rgb.Pix[y*rgb.Stride:]
		o.Rows(part, y, end)
		if err := d.did((end - y) * rgb.Stride); err != nil {
			return RGB{}, err
		}
		y = end
	}
	rgb.Pix = nil
	return rgb, nil
}
