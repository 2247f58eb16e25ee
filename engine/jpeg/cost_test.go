package jpeg_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// flat returns the shortest file of a gray, RGB or CMYK picture, all of one color: each of its Huffman tables has one
// code, a zero bit, which stands for no difference and for the end of a block.
func flat(width, height, components int, progressive bool) []byte {
	be16 := func(v int) []byte { return []byte{byte(v >> 8), byte(v)} }
	table := func(class byte) []byte {
		return slices.Concat([]byte{0xFF, 0xC4, 0, 20, class, 1}, make([]byte, 15), []byte{0})
	}
	marker, last, bits := byte(0xC0), byte(63), 2
	if progressive {
		marker, last, bits = 0xC2, 0, 1
	}
	file := slices.Concat([]byte{0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}, []byte(strings.Repeat("\x01", 64)), table(0), table(0x10))
	file = slices.Concat(file, []byte{0xFF, marker, 0, byte(8 + 3*components), 8}, be16(height), be16(width), []byte{byte(components)})
	for i := range components {
		file = append(file, byte(i+1), 0x11, 0)
	}
	file = append(file, 0xFF, 0xDA, 0, byte(6+2*components), byte(components))
	for i := range components {
		file = append(file, byte(i+1), 0)
	}
	file = append(file, 0, last, 0)
	blocks := (width + 7) / 8 * ((height + 7) / 8) * components
	return slices.Concat(file, make([]byte, (blocks*bits+7)/8), []byte{0xFF, 0xD9})
}

// TestMemory checks that decoding takes no more memory than Memory says, and that a picture that is given in rows
// needs memory for all of its coefficients only if the file is progressive.
func TestMemory(t *testing.T) {
	const width, height = 1200, 800
	for _, components := range []int{1, 3, 4} {
		for _, progressive := range []bool{false, true} {
			name := fmt.Sprintf("%d components, progressive %t", components, progressive)
			data := flat(width, height, components, progressive)
			limit, err := jpeg.Memory(data)
			if err != nil {
				t.Fatalf("%s: Memory: %v", name, err)
			}
			var d jpeg.Decoder
			rows := 0
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = d.Decode(data, jpeg.Options{Rows: func(_ jpeg.RGB, first, end int) { rows += end - first }})
			runtime.ReadMemStats(&after)
			if err != nil || rows != height {
				t.Errorf("%s: %d rows, error %v; want %d", name, rows, err, height)
			}
			taken := int64(after.TotalAlloc - before.TotalAlloc)
			if taken > limit || limit > 2*taken+1<<18 {
				t.Errorf("%s: Memory = %d, Decode took %d", name, limit, taken)
			}
			if whole := int64(width * height * components); (limit > whole) != progressive {
				t.Errorf("%s: Memory = %d for %d samples", name, limit, whole)
			}
		}
	}
}

// TestMemoryOfRows checks that the estimate covers the rows that Options.Rows is called with, which count in a picture so
// wide that they exceed all that the estimate adds to be safe.
func TestMemoryOfRows(t *testing.T) {
	data := flat(60_000, 64, 1, false)
	limit, err := jpeg.Memory(data)
	if err != nil {
		t.Fatal(err)
	}
	var d jpeg.Decoder
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = d.Decode(data, jpeg.Options{Rows: func(jpeg.RGB, int, int) {}})
	runtime.ReadMemStats(&after)
	if taken := int64(after.TotalAlloc - before.TotalAlloc); err != nil || taken > limit || limit > 2*taken {
		t.Errorf("Memory = %d, Decode took %d, error %v", limit, taken, err)
	}
}

// TestMemoryRefuses checks that a file that Decode refuses by its headers gets no estimate.
func TestMemoryRefuses(t *testing.T) {
	t.Parallel()
	data := flat(640, 480, 3, false)
	var format jpeg.FormatError
	if _, err := jpeg.Memory(data[:len(data)/2]); !errors.As(err, &format) || !format.Truncated {
		t.Errorf("half of a file: error %v, want truncation", err)
	}
	var unsupported jpeg.UnsupportedError
	if _, err := jpeg.Memory(readFile(t, "testdata", "bad-fractional.jpg")); !errors.As(err, &unsupported) {
		t.Errorf("fractional sampling: error %v, want an UnsupportedError", err)
	}
}

// TestCheck checks that decoding ends with the error of Options.Check, at whichever call it comes, and that the
// decoder can be used again.
func TestCheck(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	files, err := filepath.Glob("testdata/sample-*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	var d jpeg.Decoder
	for _, name := range append(files, "testdata/gray-progressive.jpg", "testdata/cmyk.jpg") {
		data := readFile(t, name)
		want, err := d.Decode(data, jpeg.Options{})
		if err != nil {
			t.Fatal(err)
		}
		sum := hashRGB(want)
		for left := 0; ; left++ {
			calls := 0
			got, err := d.Decode(data, jpeg.Options{Check: func() error {
				if calls++; calls > left {
					return stop
				}
				return nil
			}})
			if calls <= left { // to the end
				if err != nil || hashRGB(got) != sum {
					t.Errorf("%s: error %v, or other pixels than without Check", name, err)
				}
				if calls < got.Height/32 {
					t.Errorf("%s: Check was called %d times for %d rows", name, calls, got.Height)
				}
				break
			}
			if err != stop { //nolint:errorlint // unchanged
				t.Fatalf("%s: stopped at call %d: error %v, want Check's", name, left+1, err)
			}
		}
	}
}

// TestCheckInWideRows checks that Options.Check is called within a row of MCUs, which may take long.
func TestCheckInWideRows(t *testing.T) {
	t.Parallel()
	const width, components = 65500, 4
	for name, marker := range map[string]byte{"sequential": 0xC9, "progressive": 0xCA} {
		file := append([]byte{0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}, bytes.Repeat([]byte{1}, 64)...)
		file = append(file, 0xFF, marker, 0, 8+3*components, 8, 0, 8, width>>8, width&0xFF, components)
		for id := range byte(components) {
			file = append(file, id, 0x11, 0)
		}
		last := byte(63)
		if marker == 0xCA {
			last = 0 // DC only
		}
		file = append(file, 0xFF, 0xDA, 0, 6+2*components, components, 0, 0, 1, 0, 2, 0, 3, 0, 0, last, 0)
		file = append(append(file, bytes.Repeat([]byte{0xFE}, 1<<20)...), 0xFF, 0xD9)
		calls := 0
		var d jpeg.Decoder
		if _, err := d.Decode(file, jpeg.Options{Check: func() error { calls++; return nil }}); err != nil || calls < width/8/64 {
			t.Errorf("%s: Check was called %d times for a row of %d MCUs, error %v", name, calls, width/8, err)
		}
	}
}
