package vp8l_test

import (
	"bytes"
	"errors"
	"image"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	library "golang.org/x/image/vp8l"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/vp8l"
)

// samples returns the lossless pictures among the test files of package decode.
func samples(tb testing.TB) map[string][]byte {
	tb.Helper()
	return decodetest.WebPChunks(tb, "../../testdata", "VP8L")
}

func proceed(int) error { return nil }

// decode decodes a picture.
func decode(d *vp8l.Decoder, data []byte, check func(int) error) (pix []vp8l.Pixel, width, height int, err error) {
	defer d.Close()
	if width, height, err = d.Begin(data, check); err != nil {
		return nil, 0, 0, err
	}
	for y := range height {
		row, err := d.Row(y)
		if err != nil {
			return nil, 0, 0, err
		}
		pix = append(pix, row...)
	}
	return pix, width, height, nil
}

// equalsLibrary compares a picture with what golang.org/x/image decodes, and reports whether it is good.
func equalsLibrary(t *testing.T, d *vp8l.Decoder, data []byte) bool {
	t.Helper()
	pix, width, height, err := decode(d, data, proceed)
	m, libraryErr := library.Decode(bytes.NewReader(data))
	if (err == nil) != (libraryErr == nil) {
		t.Errorf("error %v, x/image: %v", err, libraryErr)
	}
	if err != nil || libraryErr != nil {
		return false
	}
	want := m.(*image.NRGBA)
	if want.Rect.Dx() != width || want.Rect.Dy() != height {
		t.Errorf("%dx%d pixels, want %v", width, height, want.Rect)
		return true
	}
	for i, p := range pix {
		if w := want.Pix[4*i:]; p != uint32(w[3])<<24|uint32(w[0])<<16|uint32(w[1])<<8|uint32(w[2]) {
			t.Errorf("pixel %d is %08x, want RGBA % x", i, p, w[:4])
			break
		}
	}
	return true
}

// TestEqualsLibrary compares the pixels of every sample with those of golang.org/x/image, with one decoder for all.
func TestEqualsLibrary(t *testing.T) {
	t.Parallel()
	var d vp8l.Decoder
	for range 2 {
		for name, data := range samples(t) {
			if !equalsLibrary(t, &d, data) || t.Failed() {
				t.Fatal(name)
			}
		}
	}
}

// decodeAny decodes any data: the error is documented, the size is that of the header, and a used decoder gives the same as a new one.
func decodeAny(t *testing.T, used *vp8l.Decoder, data []byte) {
	t.Helper()
	w, h, sizeErr := vp8l.Size(data)
	if sizeErr == nil && w*h > 1<<18 {
		return
	}
	var fresh vp8l.Decoder
	want, width, height, err := decode(&fresh, data, proceed)
	if err != nil && !errors.Is(err, vp8l.ErrData) && !errors.Is(err, vp8l.ErrGroups) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("undocumented error %v", err)
	}
	if err == nil && (sizeErr != nil || width != w || height != h || len(want) != w*h) {
		t.Fatalf("%d pixels of %dx%d, want %dx%d, %v", len(want), width, height, w, h, sizeErr)
	}
	got, _, _, gotErr := decode(used, data, proceed)
	if !errors.Is(gotErr, err) || !slices.Equal(got, want) {
		t.Fatalf("a used decoder differs: error %v, want %v", gotErr, err)
	}
}

// TestTruncated checks that no prefix of a picture is decoded, and that each is found to be too short.
func TestTruncated(t *testing.T) {
	t.Parallel()
	var d vp8l.Decoder
	for name, data := range samples(t) {
		for n := 0; n < len(data)-1; n += 1 + n/50 {
			if _, _, _, err := decode(&d, data[:n], proceed); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s, first %d of %d bytes: error %v", name, n, len(data), err)
			}
		}
	}
}

// TestDamage flips bits of pictures.
func TestDamage(t *testing.T) {
	t.Parallel()
	var d vp8l.Decoder
	for _, data := range samples(t) {
		for bit := 40; bit < 8*len(data); bit += 1 + bit/30 {
			bad := bytes.Clone(data)
			bad[bit/8] ^= 1 << (bit % 8)
			decodeAny(t, &d, bad)
		}
	}
}

// TestCheck checks that decoding ends with the error of the check, and that it is asked for each row.
func TestCheck(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	var d vp8l.Decoder
	for name, data := range samples(t) {
		_, height, err := vp8l.Size(data)
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		if _, _, _, err := decode(&d, data, func(int) error { calls++; return nil }); err != nil || calls < height {
			t.Errorf("%s: %d calls for %d rows, error %v", name, calls, height, err)
		}
		for left := range calls {
			if _, _, _, err := decode(&d, data, func(int) error {
				if left--; left < 0 {
					return stop
				}
				return nil
			}); !errors.Is(err, stop) {
				t.Fatalf("%s: error %v, want the check's", name, err)
			}
		}
	}
}

// TestCheckOfGroups checks that the check is called while a picture's groups of prefix codes are read.
func TestCheckOfGroups(t *testing.T) {
	t.Parallel()
	const groups = 2560
	var w writer
	w.add(0x2F, 8)
	w.add(0, 14+14+4)          // 1x1
	w.add(0|0<<1|1<<2|0<<3, 6) // no transform, no cache, a group for each tile of 4x4
	w.add(0, 1)                // in the picture of their numbers no cache
	w.one((groups - 1) & 0xFF) // green
	w.one((groups - 1) >> 8)   // red
	for range 3 + 5*groups {
		w.one(0)
	}
	calls := 0
	var d vp8l.Decoder
	if _, _, _, err := decode(&d, w.data, func(int) error { calls++; return nil }); err != nil || calls < groups {
		t.Errorf("%d calls for %d groups, error %v", calls, groups, err)
	}
}

// TestNoAllocations checks that a used decoder allocates nothing.
func TestNoAllocations(t *testing.T) {
	var d vp8l.Decoder
	for name, data := range samples(t) {
		n := testing.AllocsPerRun(5, func() {
			_, height, err := d.Begin(data, proceed)
			if err != nil {
				t.Fatal(err)
			}
			for y := range height {
				if _, err := d.Row(y); err != nil {
					t.Fatal(err)
				}
			}
		})
		if n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzDecode decodes any data. It is not compared with golang.org/x/image, which reads a prefix code of two symbols in another
// order than libwebp does, if they are not in ascending order, lets one symbol have two codes, and takes two modes of prediction for
// nothing.
func FuzzDecode(f *testing.F) {
	for _, data := range samples(f) {
		f.Add(data)
	}
	r := rand.New(rand.NewPCG(17, 18))
	for range 20 {
		f.Add(picture(r, 20, 10))
	}
	var d vp8l.Decoder
	f.Fuzz(func(t *testing.T, data []byte) { decodeAny(t, &d, data) })
}
