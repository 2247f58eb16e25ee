package decode

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/bmp"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

func bmpSize(data []byte) (width, height int, err error) {
	h, err := bmp.ParseHeader(data)
	return h.Width, h.Height, err
}

// bmpCost counts a strip of the picture, and its indices if they are compressed.
func bmpCost(data []byte, width, height int) (c cost, err error) {
	h, err := bmp.ParseHeader(data)
	if err != nil {
		return c, err
	}
	pixels, err := h.Memory(len(data))
	c.memory = pixels + stripBytes(width) + bmpFixedBytes
	c.time = perPixel(3*time.Nanosecond, width, height)
	return c, err
}

// bmpFixedBytes is more than the tables for colors take.
const bmpFixedBytes = 16 << 10

func (d *Decoder) decodeBMP(data []byte, o jpeg.Options) (RGB, error) {
	defer d.bmp.Close()
	if err := d.bmp.Open(data, d.did); err != nil {
		return RGB{}, err
	}
	order, window := downward, o.Window
	if d.bmp.Upward() {
		order = upward
	}
	return d.deliver(d.bmp.Width, d.bmp.Height, o, order, func(dst []byte, y int) error {
		d.bmp.Row(dst[3*window.Min.X:], y, window.Min.X, window.Max.X)
		return nil
	})
}
