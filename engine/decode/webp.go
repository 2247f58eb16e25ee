package decode

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/vp8"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/vp8l"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// decodeWebP decodes a picture, or the first frame of an animation, whose canvas is black where the frame does not
// reach.
func (d *Decoder) decodeWebP(data []byte, o jpeg.Options) (RGB, error) {
	width, height, err := webpSize(data)
	if err != nil {
		return RGB{}, err
	}
	canvas, chunks := image.Rect(0, 0, width, height), data[riffHeader:]
	frame := canvas
	if _, animated, _ := webpCanvas(data); animated {
		if chunks, frame, err = firstFrame(data); err != nil {
			return RGB{}, err
		}
	}
	defer d.vp8.Close()
	defer d.vp8l.Close()
	row, end, size, err := d.webpRows(chunks)
	if err != nil {
		return RGB{}, err
	}
	if size != frame.Size() {
		return RGB{}, errWebPSize
	}
	rgb, err := d.deliver(width, height, o, downward, func(dst []byte, y int) error {
		if frame != canvas {
			clear(dst)
		}
		part := o.Window.Intersect(frame)
		if y < part.Min.Y || y >= part.Max.Y {
			return nil
		}
		return row(dst[3*frame.Min.X:], y-frame.Min.Y, part.Min.X-frame.Min.X, part.Max.X-frame.Min.X)
	})
	if err != nil {
		return RGB{}, err
	}
	return rgb, end()
}

// errWebPSize is the error of a picture that is not as large as the container says. It is found before memory is taken.
var errWebPSize = errors.New("picture size differs from the header")

// webpSize reads the size of a picture, or the canvas that its file names.
func webpSize(data []byte) (width, height int, err error) {
	if canvas, _, ok := webpCanvas(data); ok {
		return canvas.Dx(), canvas.Dy(), nil
	}
	name, body, err := webpPicture(data[riffHeader:])
	if err != nil {
		return 0, 0, err
	}
	if name == "VP8L" {
		return vp8l.Size(body)
	}
	return vp8.Size(body)
}

// converter writes columns from..end-1 of row y of a picture to dst, pixel x to dst[3*x:].
type converter func(dst []byte, y, from, end int) error

// webpRows reads the header of a picture. Its rows are read in ascending order, then end is called. Alpha, a chunk of its own in lossy
// pictures, is not read.
func (d *Decoder) webpRows(chunks []byte) (row converter, end func() error, size image.Point, err error) {
	name, body, err := webpPicture(chunks)
	if err != nil {
		return nil, nil, size, err
	}
	if name == "VP8L" {
		width, height, err := d.vp8l.Begin(body, d.did)
		return func(dst []byte, y, from, end int) error {
			pix, err := d.vp8l.Row(y)
			if err == nil && from < end {
				kernel.RGB(dst[3*from:3*end], pix[from:end])
			}
			return err
		}, func() error { return nil }, image.Pt(width, height), err
	}
	width, height, err := d.vp8.Begin(body, d.did)
	half := (width + 1) / 2
	d.chroma = slices.Grow(d.chroma[:0], 4*half)[:4*half]
	u, v := d.chroma[:2*half], d.chroma[2*half:]
	return func(dst []byte, y, from, end int) error {
		r, err := d.vp8.Row(y)
		if err == nil && from < end {
			// Chroma, of half the resolution, is interpolated as libwebp does by default ("fancy upsampling").
			kernel.Upsample(u, r.NearU, r.FarU)
			kernel.Upsample(v, r.NearV, r.FarV)
			kernel.YUVToRGB(dst[3*from:3*end], r.Luma[from:end], u[from:end], v[from:end])
		}
		return err
	}, d.vp8.End, image.Pt(width, height), err
}

// webpPicture finds the chunk that has a picture: VP8 if it is lossy, or VP8L.
func webpPicture(chunks []byte) (name string, body []byte, err error) {
	for {
		name, body, rest, err := nextRIFFChunk(chunks)
		if err != nil || name == "VP8 " || name == "VP8L" {
			return name, body, err
		}
		chunks = rest
	}
}

// A WebP needs no bytes for pixels that are all the same, so its bytes set no bound on its pixels, as those of the
// other formats do. Such pictures are real, but not when they are large: above 4 megapixels each byte of the file
// allows for 1000 pixels. Encoders need several times as many bytes for an empty page.
const (
	webpFreePixels    = 4_000_000
	webpPixelsPerByte = 1000
)

// webpCost counts what a picture takes, or an animation's first frame: see lossyMemory and losslessMemory.
func webpCost(data []byte, width, height int) (c cost, err error) {
	if pixels := int64(width) * int64(height); pixels > webpFreePixels+webpPixelsPerByte*int64(len(data)) {
		return c, &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge, Hint: smaller,
			Message: fmt.Sprintf("Image has too many pixels for a WebP file of %d bytes: %dx%d", len(data), width, height)}
	}
	c.time = perPixel(40*time.Nanosecond, width, height)
	c.memory = stripBytes(width) + stateBytes
	chunks := data[riffHeader:]
	if canvas, animated, _ := webpCanvas(data); animated {
		var frame image.Rectangle
		if chunks, frame, err = firstFrame(data); err != nil {
			return c, err
		}
		if !frame.In(canvas) { // only the canvas is known to be within limits
			return c, errors.New("frame exceeds its canvas")
		}
		width, height = frame.Dx(), frame.Dy()
	}
	name, body, err := webpPicture(chunks)
	if err != nil {
		return c, err
	}
	size, memory := vp8.Size, lossyMemory
	if name == "VP8L" {
		size, memory = vp8l.Size, losslessMemory
	}
	c.memory += memory(len(body), width, height)
	if w, h, err := size(body); err != nil || w != width || h != height {
		return c, cmp.Or(err, errWebPSize)
	}
	return c, nil
}

// lossyMemory is the memory of a picture in the format VP8: that of the decoder, and two rows of chroma.
func lossyMemory(_, width, _ int) int64 { return vp8.Memory(width) + 2*int64(width+1) }

// losslessMemory is the memory of a picture in the format VP8L: four bytes for each pixel, three images with a pixel for each
// tile of 4x4, five rows, and prefix codes.
func losslessMemory(bytes, width, height int) int64 {
	// A group of five codes takes at least 20 bits. For each code it has tables with at most 512 entries more than there are symbols, of
	// 2 bytes.
	const groupBytes = 13 << 10
	groups := min(vp8l.MaxGroups, int64(bytes)*8/20+1)
	tiles := int64((width+3)/4) * int64((height+3)/4)
	rows := 5 * 4 * int64(width+kernel.Spare)
	return 4*int64(width)*int64(height) + 3*4*tiles + rows + groups*groupBytes
}

// The layout of WebP's container ("WebP Container Specification"): a RIFF file whose first chunk, in the extended form,
// has flags and the size of the canvas.
const (
	riffHeader   = 12 // "RIFF", length, "WEBP"
	chunkHeader  = 8  // name, length
	extended     = 10 // length of a VP8X chunk's data: flags, 3 bytes reserved, width-1 and height-1 in 3 bytes each
	frameHeader  = 16 // of an ANMF chunk: x/2, y/2, width-1, height-1, duration in 3 bytes each, flags
	flagAnimated = 1 << 1
)

// uint24 reads three bytes.
func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// webpCanvas reads the extended form's canvas, and whether there is an animation on it.
func webpCanvas(data []byte) (canvas image.Rectangle, animated, ok bool) {
	name, body, _, err := nextRIFFChunk(data[riffHeader:])
	if err != nil || name != "VP8X" || len(body) < extended {
		return canvas, false, false
	}
	return image.Rect(0, 0, uint24(body[4:])+1, uint24(body[7:])+1), body[0]&flagAnimated != 0, true
}

// firstFrame returns the chunks of an animation's first frame, and its place on the canvas.
func firstFrame(data []byte) (chunks []byte, frame image.Rectangle, err error) {
	anmf := riffChunk(data[riffHeader:], "ANMF")
	if len(anmf) < frameHeader {
		return nil, frame, errors.New("animation without a complete frame")
	}
	width, height := uint24(anmf[6:])+1, uint24(anmf[9:])+1
	frame = image.Rect(0, 0, width, height).Add(image.Pt(2*uint24(anmf), 2*uint24(anmf[3:])))
	return anmf[frameHeader:], frame, nil
}

// riffChunk finds a chunk by its name. It returns nil if there is none.
func riffChunk(chunks []byte, name string) []byte {
	for {
		found, body, rest, err := nextRIFFChunk(chunks)
		if err != nil {
			return nil
		}
		if found == name {
			return body
		}
		chunks = rest
	}
}

// nextRIFFChunk reads a chunk: name, length, data, a byte of padding after odd lengths.
func nextRIFFChunk(chunks []byte) (name string, body, rest []byte, err error) {
	if len(chunks) < chunkHeader {
		return "", nil, nil, io.ErrUnexpectedEOF
	}
	length := int64(binary.LittleEndian.Uint32(chunks[4:]))
	if length > int64(len(chunks)-chunkHeader) {
		return "", nil, nil, io.ErrUnexpectedEOF
	}
	end := chunkHeader + length
	return string(chunks[:4]), chunks[chunkHeader:end], chunks[min(end+length%2, int64(len(chunks))):], nil
}
