package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"

	"golang.org/x/image/webp"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// decodeWebP decodes a picture, or the first frame of an animation, whose canvas is black where the frame does not
// reach.
func (d *Decoder) decodeWebP(data []byte, o jpeg.Options) (RGB, error) {
	canvas, animated := webpCanvas(data)
	if !animated {
		return decodeBy(webp.Decode)(d, data, o)
	}
	file, frame, err := firstFrame(data)
	if err != nil {
		return RGB{}, err
	}
	if !frame.In(canvas) { // checked before memory is allocated: only the canvas is known to be within limits
		return RGB{}, errors.New("frame exceeds its canvas")
	}
	m, err := webp.Decode(bytes.NewReader(file))
	if err != nil {
		return RGB{}, err
	}
	if m.Bounds().Size() != frame.Size() {
		return RGB{}, errors.New("frame size differs from the header")
	}
	rgb := d.picture(canvas.Dx(), canvas.Dy())
	if frame != canvas {
		clear(rgb.Pix)
	}
	part := RGB{Pix: rgb.Pix[frame.Min.Y*rgb.Stride+3*frame.Min.X:], Width: frame.Dx(), Height: frame.Dy(), Stride: rgb.Stride}
	return rgb, convert(part, m, o.Window.Intersect(frame).Sub(frame.Min))
}

// The layout of WebP's container ("WebP Container Specification"): a RIFF file whose first chunk, in the extended form,
// has flags and the size of the canvas.
const (
	riffHeader   = 12 // "RIFF", length, "WEBP"
	chunkHeader  = 8  // name, length
	extended     = 10 // length of a VP8X chunk's data: flags, 3 bytes reserved, width-1 and height-1 in 3 bytes each
	frameHeader  = 16 // of an ANMF chunk: x/2, y/2, width-1, height-1, duration in 3 bytes each, flags
	flagAnimated = 1 << 1
	flagAlpha    = 1 << 4
)

// uint24 reads three bytes.
func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// webpCanvas reads the canvas of an animation.
func webpCanvas(data []byte) (canvas image.Rectangle, animated bool) {
	const flags = riffHeader + chunkHeader
	if len(data) < flags+extended || string(data[riffHeader:][:4]) != "VP8X" || data[flags]&flagAnimated == 0 {
		return canvas, false
	}
	return image.Rect(0, 0, uint24(data[flags+4:])+1, uint24(data[flags+7:])+1), true
}

// firstFrame turns an animation's first frame into a file of its own, and returns its place on the canvas.
func firstFrame(data []byte) (file []byte, frame image.Rectangle, err error) {
	anmf := riffChunk(data[riffHeader:], "ANMF")
	if len(anmf) < frameHeader {
		return nil, frame, errors.New("animation without a complete frame")
	}
	width, height := uint24(anmf[6:])+1, uint24(anmf[9:])+1
	frame = image.Rect(0, 0, width, height).Add(image.Pt(2*uint24(anmf), 2*uint24(anmf[3:])))
	chunks := anmf[frameHeader:]

	length := uint32(4 + chunkHeader + extended + len(chunks))
	file = append(binary.LittleEndian.AppendUint32([]byte("RIFF"), length), "WEBP"...)
	file = binary.LittleEndian.AppendUint32(append(file, "VP8X"...), extended)
	var flags byte
	if riffChunk(chunks, "ALPH") != nil {
		flags = flagAlpha
	}
	file = append(file, flags, 0, 0, 0)
	file = append(file, anmf[6:12]...) // width-1 and height-1, in the same form
	return append(file, chunks...), frame, nil
}

// riffChunk finds a chunk by its name: name, length, data, a byte of padding after odd lengths.
func riffChunk(rest []byte, name string) []byte {
	for len(rest) >= 8 {
		length := int64(binary.LittleEndian.Uint32(rest[4:]))
		if length > int64(len(rest)-8) {
			return nil
		}
		if string(rest[:4]) == name {
			return rest[8 : 8+length]
		}
		rest = rest[min(8+length+length%2, int64(len(rest))):]
	}
	return nil
}

// convertWebP converts a lossy WebP picture as libwebp does by default ("fancy upsampling", src/dsp/upsampling.c and
// yuv.h), unlike image.YCbCr: chroma, of half the resolution, is interpolated.
func convertWebP(dst RGB, m *image.YCbCr, window image.Rectangle) error {
	if m.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return errors.New("invalid chroma subsampling")
	}
	last := (dst.Height+1)/2 - 1 // last row of chroma
	for y := window.Min.Y; y < window.Max.Y; y++ {
		// Row y lies a quarter of a chroma row's height from the centre of the near one, three quarters from the far.
		near, far := y/2, y/2-1
		if y%2 == 1 {
			far = y/2 + 1
		}
		far = min(max(far, 0), last)
		luma := m.Y[y*m.YStride:][:dst.Width]
		chroma := func(c []byte, row int) []byte { return c[row*m.CStride:][:(dst.Width+1)/2] }
		webpRow(dst.Pix[y*dst.Stride:], luma,
			chroma(m.Cb, near), chroma(m.Cb, far), chroma(m.Cr, near), chroma(m.Cr, far), window.Min.X, window.Max.X)
	}
	return nil
}

// webpRow converts pixels from..end-1 of a row from its luma and the two rows of chroma around it.
func webpRow(dst, luma, uNear, uFar, vNear, vFar []byte, from, end int) {
	last := len(uNear) - 1
	for x := from; x < end; x++ {
		near, far := x/2, x/2-1
		if x%2 == 1 {
			far = x/2 + 1
		}
		if far < 0 || far > last { // at the edges chroma is interpolated along the column only
			far = near
		}
		u := interpolate(uNear[near], uNear[far], uFar[near], uFar[far], far == near)
		v := interpolate(vNear[near], vNear[far], vFar[near], vFar[far], far == near)
		yuvToRGB(dst[3*x:3*x+3], int(luma[x]), u, v)
	}
}

// interpolate weighs the four chroma samples around a pixel 9:3:3:1, a being the nearest, b beside it, c above or
// below it and d across; at the edges, where b is a, 3:1. Rounding is libwebp's, in two steps.
func interpolate(a, b, c, d byte, edge bool) int {
	if edge {
		return (3*int(a) + int(c) + 2) >> 2
	}
	// (a + (a+b+c+d + 2(b+c) + 8)/8) / 2
	diagonal := (int(a) + 3*int(b) + 3*int(c) + int(d) + 8) >> 3
	return (diagonal + int(a)) >> 1
}

// yuvToRGB is the conversion of BT.601 with 14 fraction bits, as libwebp rounds it.
func yuvToRGB(dst []byte, y, u, v int) {
	luma := 19077 * y >> 8
	dst[0] = clip14(luma + 26149*v>>8 - 14234)
	dst[1] = clip14(luma - 6419*u>>8 - 13320*v>>8 + 8708)
	dst[2] = clip14(luma + 33050*u>>8 - 17685)
}

// clip14 drops the 6 fraction bits that are left and clips to a byte.
func clip14(v int) byte { return byte(min(max(v>>6, 0), 255)) }
