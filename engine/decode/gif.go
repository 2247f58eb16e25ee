package decode

import (
	"bytes"
	"errors"
	"image"
	"image/gif"
	"io"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// decodeGIF decodes the first frame. Where it does not cover the screen, the screen shows the frame's transparent
// color or else color 0, as in Pillow.
func (d *Decoder) decodeGIF(data []byte, o jpeg.Options) (RGB, error) {
	m, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return RGB{}, err
	}
	frame, ok := m.(*image.Paletted)
	if !ok {
		return RGB{}, errors.New("without palette")
	}
	h, err := readGIFHeader(data)
	if err != nil {
		return RGB{}, err
	}
	rgb := d.picture(h.width, h.height)
	if !o.Window.In(frame.Rect) {
		for i := 0; i < len(rgb.Pix); i += 3 {
			copy(rgb.Pix[i:i+3], h.palette[h.transparent][:])
		}
	}
	convertPaletted(rgb, frame, &h.palette, o.Window)
	return rgb, nil
}

// gifHeader is what lies before the first frame's pixels (GIF89a, sections 18 to 23). image/gif reads it too, but
// keeps neither the transparent entry's color nor its number.
type gifHeader struct {
	width, height int     // of the screen
	palette       palette // the frame's own or else the global one
	transparent   byte    // entry of the palette, 0 if there is none
}

func readGIFHeader(data []byte) (h gifHeader, err error) {
	r := bytes.NewReader(data)
	var screen [13]byte
	if _, err := io.ReadFull(r, screen[:]); err != nil {
		return h, err
	}
	h.width = int(screen[6]) | int(screen[7])<<8
	h.height = int(screen[8]) | int(screen[9])<<8
	if err := h.readPalette(r, screen[10]); err != nil {
		return h, err
	}
	for {
		introducer, err := r.ReadByte()
		if err != nil {
			return h, err
		}
		switch introducer {
		case '!':
			if err := h.readExtension(r); err != nil {
				return h, err
			}
		case ',':
			var descriptor [9]byte
			if _, err := io.ReadFull(r, descriptor[:]); err != nil {
				return h, err
			}
			return h, h.readPalette(r, descriptor[8])
		default:
			return h, errors.New("without a picture")
		}
	}
}

// readPalette reads the color table that follows, if flags say that there is one.
func (h *gifHeader) readPalette(r io.Reader, flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	h.palette = palette{}
	for i := range 2 << (flags & 7) {
		if _, err := io.ReadFull(r, h.palette[i][:]); err != nil {
			return err
		}
	}
	return nil
}

// readExtension reads the extension that follows: the transparent entry of a graphic control extension, which the
// latest decides, and nothing of others.
func (h *gifHeader) readExtension(r *bytes.Reader) error {
	const graphicControl = 0xF9
	label, err := r.ReadByte()
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		n, err := r.ReadByte()
		if err != nil || n == 0 {
			return err
		}
		var block [255]byte
		if _, err := io.ReadFull(r, block[:n]); err != nil {
			return err
		}
		if label == graphicControl && first && block[0]&1 != 0 {
			h.transparent = block[3]
		}
	}
}
