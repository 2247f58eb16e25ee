package decode

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// turning is an EXIF orientation: how the stored picture must be turned for display.
type turning uint16

// upright is the orientation without turning, and replaces values that EXIF does not define.
const upright turning = 1

// Each orientation first swaps rows with columns or not, then mirrors the source's columns or rows or both:
//
//	1 as it is    2 left-right   3 half turn   4 top-bottom
//	5 transposed  6 quarter turn right         7 transversed   8 quarter turn left
func (t turning) swap() bool    { return t >= 5 }
func (t turning) columns() bool { return t == 2 || t == 3 || t == 7 || t == 8 }
func (t turning) rows() bool    { return t == 3 || t == 4 || t == 6 || t == 7 }

// turn returns the picture as it is displayed. An error is that of Options.Check.
func (d *Decoder) turn(src RGB, t turning) (RGB, error) {
	dst := RGB{Width: src.Width, Height: src.Height}
	if t.swap() {
		dst.Width, dst.Height = src.Height, src.Width
	}
	n := 3 * dst.Width * dst.Height
	d.turned = slices.Grow(d.turned[:0], n)[:n]
	dst.Pix, dst.Stride = d.turned, 3*dst.Width
	for y := range dst.Height {
		if err := d.did(dst.Stride); err != nil {
			return RGB{}, err
		}
		for x := range dst.Width {
			u, v := x, y
			if t.swap() {
				u, v = y, x
			}
			if t.columns() {
				u = src.Width - 1 - u
			}
			if t.rows() {
				v = src.Height - 1 - v
			}
			copy(dst.Pix[y*dst.Stride+3*x:][:3], src.Pix[v*src.Stride+3*u:])
		}
	}
	return dst, nil
}

// orientation returns the EXIF orientation of a JPEG, PNG or WebP file; upright if there is none.
func orientation(data []byte) turning {
	switch {
	case prefix("\xff\xd8")(data):
		return tiffOrientation(jpegEXIF(data))
	case prefix("\x89PNG")(data):
		return tiffOrientation(pngChunk(data, "eXIf"))
	case isWebP(data):
		return tiffOrientation(bytes.TrimPrefix(riffChunk(data[riffHeader:], "EXIF"), exifMark))
	}
	return upright
}

// exifMark begins EXIF data in JPEG files.
var exifMark = []byte("Exif\x00\x00")

// jpegEXIF finds the APP1 segment with EXIF data, without the mark, between the segments before the first scan.
func jpegEXIF(data []byte) []byte {
	const app1, startOfScan = 0xE1, 0xDA
	for p := 2; p+4 <= len(data) && data[p] == 0xFF; {
		marker := data[p+1]
		if marker == 0xFF { // fill byte
			p++
			continue
		}
		length := int(binary.BigEndian.Uint16(data[p+2:]))
		if marker == startOfScan || length < 2 || p+2+length > len(data) {
			return nil
		}
		if segment := data[p+4 : p+2+length]; marker == app1 && bytes.HasPrefix(segment, exifMark) {
			return segment[len(exifMark):]
		}
		p += 2 + length
	}
	return nil
}

// pngChunk finds a chunk by its type: length, type, data, check sum (PNG specification, section 5.3).
func pngChunk(data []byte, name string) []byte {
	for rest := data[8:]; len(rest) >= 12; {
		length := int64(binary.BigEndian.Uint32(rest))
		if length > int64(len(rest)-12) {
			return nil
		}
		if string(rest[4:8]) == name {
			return rest[8 : 8+length]
		}
		rest = rest[12+length:]
	}
	return nil
}

// tiffOrientation reads the orientation from EXIF data, which is a TIFF file (TIFF 6.0, section 2): in either byte
// order, a header that points to a directory, whose entries are tag, type, count and value.
func tiffOrientation(exif []byte) turning {
	const tagOrientation, header, entry = 0x0112, 8, 12
	if len(exif) < header {
		return upright
	}
	var order binary.ByteOrder = binary.LittleEndian
	if exif[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(exif[4:]))
	if at+2 > int64(len(exif)) {
		return upright
	}
	directory := exif[at:]
	entries := int(order.Uint16(directory))
	for directory = directory[2:]; entries > 0 && len(directory) >= entry; entries-- {
		if order.Uint16(directory) == tagOrientation {
			if t := turning(order.Uint16(directory[8:])); t >= 1 && t <= 8 {
				return t
			}
			return upright
		}
		directory = directory[entry:]
	}
	return upright
}
