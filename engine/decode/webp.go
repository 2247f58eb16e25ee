package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"time"

	"golang.org/x/image/webp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// decodeWebP decodes a picture, or the first frame of an animation, whose canvas is black where the frame does not
// reach.
func (d *Decoder) decodeWebP(data []byte, o jpeg.Options) (RGB, error) {
	canvas, animated := webpCanvas(data)
	if !animated {
		m, err := webp.Decode(d.reader(data))
		if err != nil {
			return RGB{}, err
		}
		return d.deliverImage(m, o)
	}
	file, frame, err := firstFrame(data)
	if err != nil {
		return RGB{}, err
	}
	m, err := webp.Decode(d.reader(file))
	if err != nil {
		return RGB{}, err
	}
	if m.Bounds().Size() != frame.Size() {
		return RGB{}, errors.New("frame size differs from the header")
	}
	row, err := convert(m)
	if err != nil {
		return RGB{}, err
	}
	return d.deliver(canvas.Dx(), canvas.Dy(), o, func(dst []byte, y int) error {
		if frame != canvas {
			clear(dst)
		}
		part := o.Window.Intersect(frame)
		if y >= part.Min.Y && y < part.Max.Y {
			row(dst[3*frame.Min.X:], y-frame.Min.Y, part.Min.X-frame.Min.X, part.Max.X-frame.Min.X)
		}
		return nil
	})
}

// A WebP needs no bytes for pixels that are all the same, so its bytes set no bound on its pixels, as those of the
// other formats do. Such pictures are real, but not when they are large: above 4 megapixels each byte of the file
// allows for 1000 pixels. Encoders need several times as many bytes for an empty page.
const (
	webpFreePixels    = 4_000_000
	webpPixelsPerByte = 1000
)

// webpCost counts what golang.org/x/image takes for the chunks of a picture, or of an animation's first frame: see
// lossyMemory and losslessMemory.
func webpCost(data []byte, width, height int) (c cost, err error) {
	if pixels := int64(width) * int64(height); pixels > webpFreePixels+webpPixelsPerByte*int64(len(data)) {
		return c, &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge, Hint: smaller,
			Message: fmt.Sprintf("Image has too many pixels for a WebP file of %d bytes: %dx%d", len(data), width, height)}
	}
	c.time = perPixel(40*time.Nanosecond, width, height)
	c.memory = stripBytes(width) + libraryBytes
	chunks := data[riffHeader:]
	if canvas, animated := webpCanvas(data); animated {
		file, frame, err := firstFrame(data)
		if err != nil {
			return c, err
		}
		if !frame.In(canvas) { // only the canvas is known to be within limits
			return c, errors.New("frame exceeds its canvas")
		}
		c.memory += int64(len(file))
		width, height, chunks = frame.Dx(), frame.Dy(), file[riffHeader:]
	}
	for {
		name, body, rest, err := nextRIFFChunk(chunks)
		if err != nil {
			return c, err
		}
		chunks = rest
		switch name {
		case "ALPH":
			c.memory += alphaMemory(body, width, height)
		case "VP8 ":
			c.memory += lossyMemory(len(body), width, height)
			return c, nil
		case "VP8L":
			c.memory += losslessMemory(len(body), width, height)
			return c, nil
		}
	}
}

// lossyMemory is the memory of a picture in the format VP8: a byte of luma for each pixel and two of chroma for four,
// in macroblocks of 16x16, the parameters of their filters, and a copy of the data.
func lossyMemory(bytes, width, height int) int64 {
	blocks := int64((width+15)/16) * int64((height+15)/16)
	return blocks*(256*3/2+4) + int64((width+15)/16)*8 + int64(bytes)
}

// losslessMemory is the memory of a picture in the format VP8L: four bytes for each pixel, at most half as many
// before its palette is applied, three images with a pixel for each tile of 4x4, and Huffman trees.
func losslessMemory(bytes, width, height int) int64 {
	// The picture may have up to 2600 groups of five trees, a group of 2.7 kB takes at least 20 bits. A node takes 16
	// bytes; in the shortest form six of them take 3 bits, and a group has up to 3136.
	const maxGroups, groupBytes, nodesBytes = 2600, 2720, 16 * 3136
	trees := min(maxGroups, int64(bytes)*8/20+1)*groupBytes + min(maxGroups*nodesBytes, int64(bytes)*16*6*8/3)
	tiles := int64((width+3)/4) * int64((height+3)/4)
	return 6*int64(width)*int64(height) + 3*4*tiles + trees
}

// alphaMemory is the memory of a chunk with a lossy picture's alpha, a byte for each pixel, maybe coded as the green of
// a lossless picture.
func alphaMemory(body []byte, width, height int) int64 {
	n := int64(width) * int64(height)
	if len(body) > 0 && body[0]&3 == 1 {
		n += losslessMemory(len(body), width, height)
	}
	return n
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

// convertWebP converts a lossy WebP picture as libwebp does by default ("fancy upsampling", src/dsp/upsampling.c and
// yuv.h), unlike image.YCbCr: chroma, of half the resolution, is interpolated.
func convertWebP(m *image.YCbCr) (converter, error) {
	if m.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return nil, errors.New("invalid chroma subsampling")
	}
	width, last := m.Rect.Dx(), (m.Rect.Dy()+1)/2-1 // last row of chroma
	return func(dst []byte, y, from, end int) {
		// Row y lies a quarter of a chroma row's height from the centre of the near one, three quarters from the far.
		near, far := y/2, y/2-1
		if y%2 == 1 {
			far = y/2 + 1
		}
		far = min(max(far, 0), last)
		chroma := func(c []byte, row int) []byte { return c[row*m.CStride:][:(width+1)/2] }
		webpRow(dst, m.Y[y*m.YStride:][:width],
			chroma(m.Cb, near), chroma(m.Cb, far), chroma(m.Cr, near), chroma(m.Cr, far), from, end)
	}, nil
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
