package decode

import "github.com/resnet18cloud/resnet18cloud/engine/jpeg"

// strip returns how many rows of a picture of this width are passed to Options.Rows at a time: about 64 KiB, which
// stays in a cache, but no more than JPEG's.
func strip(width int) int { return min(max((64<<10)/(3*width), 1), 16) }

// stripBytes is the memory of such rows.
func stripBytes(width int) int64 { return 3 * int64(width) * int64(strip(width)) }

// deliver makes a picture of rows. It calls row for each row y of the window, from top to bottom, with memory for a
// whole row: pixel x belongs at dst[3*x:], and only those in the window matter. They go to o.Rows in strips, or become
// the picture that is returned.
func (d *Decoder) deliver(width, height int, o jpeg.Options, row func(dst []byte, y int) error) (RGB, error) {
	rows, top := height, 0
	if o.Rows != nil {
		rows, top = min(strip(width), height), o.Window.Min.Y
	}
	rgb := RGB{Pix: d.memory(3 * width * rows), Width: width, Height: height, Stride: 3 * width}
	for y := o.Window.Min.Y; y < o.Window.Max.Y; y++ {
		if err := row(rgb.Pix[(y-top)*rgb.Stride:][:rgb.Stride], y); err != nil {
			return RGB{}, err
		}
		if err := d.did(rgb.Stride); err != nil {
			return RGB{}, err
		}
		if next := y + 1; o.Rows != nil && (next == top+rows || next == o.Window.Max.Y) {
			o.Rows(rgb, top, next)
			top = next
		}
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
