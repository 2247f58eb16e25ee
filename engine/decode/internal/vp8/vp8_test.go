package vp8

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"testing"

	library "golang.org/x/image/vp8"
)

// chunk returns the data of a file's VP8 chunk, nil if it has none.
func chunk(file []byte) []byte {
	for rest := file[12:]; len(rest) >= 8; {
		end := 8 + int(binary.LittleEndian.Uint32(rest[4:]))
		if end > len(rest) {
			return nil
		}
		if string(rest[:4]) == "VP8 " {
			return rest[8:end]
		}
		rest = rest[min(end+end%2, len(rest)):]
	}
	return nil
}

// samples returns the lossy pictures among the test files of package decode.
func samples(tb testing.TB) map[string][]byte {
	tb.Helper()
	names, err := filepath.Glob("../../testdata/*.webp")
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string][]byte{}
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		if data := chunk(file); data != nil {
			found[filepath.Base(name)] = data
		}
	}
	if len(found) < 10 {
		tb.Fatalf("%d lossy pictures, want 10 or more", len(found))
	}
	return found
}

func proceed(int) error { return nil }

// planes decodes a picture to its planes.
func planes(d *Decoder, data []byte) (*image.YCbCr, error) {
	width, height, err := d.Begin(data, proceed)
	if err != nil {
		return nil, err
	}
	m := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for y := range height {
		r, err := d.Row(y)
		if err != nil {
			return nil, err
		}
		copy(m.Y[y*m.YStride:], r.Luma)
		copy(m.Cb[y/2*m.CStride:], r.NearU)
		copy(m.Cr[y/2*m.CStride:], r.NearV)
	}
	return m, d.End()
}

// reference decodes a picture by golang.org/x/image.
func reference(data []byte) (*image.YCbCr, error) {
	d := library.NewDecoder()
	d.Init(bytes.NewReader(data), len(data))
	h, err := d.DecodeFrameHeader()
	if err != nil {
		return nil, err
	}
	if !h.KeyFrame {
		return nil, errors.New("not a key frame")
	}
	return d.DecodeFrame()
}

// compare compares a picture with that of the reference.
func compare(t *testing.T, name string, got, want *image.YCbCr) {
	t.Helper()
	if got.Rect != want.Rect {
		t.Errorf("%s: %v, want %v", name, got.Rect, want.Rect)
		return
	}
	plane := func(plane string, width, height int, got []byte, gotStride int, want []byte, wantStride int) {
		for y := range height {
			g, w := got[y*gotStride:][:width], want[y*wantStride:][:width]
			for x := range g {
				if g[x] != w[x] {
					t.Errorf("%s: %s at %d, %d of %dx%d is %d, want %d", name, plane, x, y, width, height, g[x], w[x])
					return
				}
			}
		}
	}
	width, height := got.Rect.Dx(), got.Rect.Dy()
	plane("luma", width, height, got.Y, got.YStride, want.Y, want.YStride)
	plane("U", (width+1)/2, (height+1)/2, got.Cb, got.CStride, want.Cb, want.CStride)
	plane("V", (width+1)/2, (height+1)/2, got.Cr, got.CStride, want.Cr, want.CStride)
}

// TestEqualsLibrary compares the samples of every picture with those of golang.org/x/image, with one decoder for all.
func TestEqualsLibrary(t *testing.T) {
	var d Decoder
	for range 2 {
		for name, data := range samples(t) {
			got, err := planes(&d, data)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want, err := reference(data)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			compare(t, name, got, want)
		}
	}
}

// TestTruncated checks that no prefix of a picture is decoded, and that each is found to be too short.
func TestTruncated(t *testing.T) {
	var d Decoder
	for name, data := range samples(t) {
		for n := 0; n < len(data)*9/10; n += 1 + n/50 {
			if _, err := planes(&d, data[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s, first %d of %d bytes: error %v", name, n, len(data), err)
			}
		}
	}
}
