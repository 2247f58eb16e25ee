package vp8

import (
	"bytes"
	"errors"
	"image"
	"io"
	"slices"
	"strings"
	"testing"

	library "golang.org/x/image/vp8"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
)

// samples returns the lossy pictures among the test files of package decode.
func samples(tb testing.TB) map[string][]byte {
	tb.Helper()
	return decodetest.WebPChunks(tb, "../../testdata", "VP8 ")
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

// TestCheck checks that decoding ends with the error of the check, at whichever call it comes.
func TestCheck(t *testing.T) {
	stop := errors.New("stop")
	var d Decoder
	for name, data := range samples(t) {
		calls, limit := 0, -1
		check := func(int) error {
			if calls++; calls > limit && limit >= 0 {
				return stop
			}
			return nil
		}
		decode := func() error {
			_, height, err := d.Begin(data, check)
			for y := 0; y < height/2 && err == nil; y++ {
				_, err = d.Row(y)
			}
			if err != nil {
				return err
			}
			return d.End()
		}
		if err := decode(); err != nil || calls < d.rows {
			t.Errorf("%s: %d calls for %d rows of macroblocks, error %v", name, calls, d.rows, err)
		}
		for all := calls; limit < all-1; {
			calls, limit = 0, limit+1
			if err := decode(); !errors.Is(err, stop) {
				t.Fatalf("%s: error %v, want the check's", name, err)
			}
		}
	}
}

// TestNoAllocations checks that a used decoder allocates nothing.
func TestNoAllocations(t *testing.T) {
	data := decodetest.WebPChunk(decodetest.WebP{Lossy: true, Bytes: 300_000}.Make(500, 300), "VP8 ")
	var d Decoder
	decode := func() {
		_, height, err := d.Begin(data, proceed)
		for y := 0; y < height && err == nil; y++ {
			_, err = d.Row(y)
		}
		if err != nil || d.End() != nil {
			t.Fatal(err)
		}
	}
	decode()
	if n := testing.AllocsPerRun(5, decode); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestInterframe checks that the difference to another picture is refused by name.
func TestInterframe(t *testing.T) {
	data := slices.Clone(samples(t)["webp-lossy-q5.webp"])
	data[0] |= 1
	var d Decoder
	if _, _, err := d.Begin(data, proceed); !errors.Is(err, ErrInter) {
		t.Errorf("error %v, want ErrInter", err)
	}
}

// TestTruncated checks that no prefix of a picture is decoded, and that each is found to be too short.
func TestTruncated(t *testing.T) {
	var d Decoder
	for name, data := range samples(t) {
		if strings.Contains(name, "noise") { // has more than the picture needs
			continue
		}
		for n := 0; n < len(data)*9/10; n += 1 + n/50 {
			if _, err := planes(&d, data[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s, first %d of %d bytes: error %v", name, n, len(data), err)
			}
		}
	}
}
