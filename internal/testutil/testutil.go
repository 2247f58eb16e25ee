// Package testutil finds files that tests need outside their own folder, the repository's root and the reference data, and
// has small things that many tests need: logs, request IDs, seeds of fuzz targets. Only tests import it.
package testutil

import (
	"bytes"
	"encoding/json"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"
)

// Root returns the folder of the module's go.mod, searching upwards from the test's folder.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && len(mod) > 0 && isMainModule(mod) {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("no go.mod of the main module above the test's folder")
		}
		dir = parent
	}
}

func isMainModule(mod []byte) bool {
	const first = "module github.com/resnet18cloud/resnet18cloud\n"
	return len(mod) >= len(first) && string(mod[:len(first)]) == first
}

// Shared returns the path of a file or folder of the reference data (real weights, images, torchvision's results). It
// is in ../shared beside the repository, or in the folder RESNET18_SHARED. Shared skips the test if the data does not
// exist.
func Shared(tb testing.TB, elem ...string) string {
	tb.Helper()
	base := os.Getenv("RESNET18_SHARED")
	if base == "" {
		base = filepath.Join(Root(tb), "..", "shared")
	}
	path := filepath.Join(append([]string{base}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		tb.Skipf("reference data not found, test skipped: %v (set RESNET18_SHARED to its folder)", err)
	}
	return path
}

// Lines reads a file of JSON values, one in each line.
func Lines[T any](tb testing.TB, path string) (values []T) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			tb.Fatalf("%s, line %d: %v", path, len(values)+1, err)
		}
		values = append(values, v)
	}
	if len(values) == 0 {
		tb.Fatalf("%s is empty", path)
	}
	return values
}

// Crop is a picture of the network's size: 224 rows of 224 pixels, red, green and blue.
type Crop = [224 * 224 * 3]byte

// Crops reads the first n of the reference data's crops, in the order of their names, which it returns too; all if n is 0.
// It skips the test if the data does not exist.
func Crops(tb testing.TB, n int) (names []string, crops []*Crop) {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(Shared(tb, "reference", "crop224"), "*.png"))
	if err != nil || len(names) == 0 {
		tb.Fatalf("no pictures: %v", err)
	}
	slices.Sort(names)
	if n > 0 {
		names = names[:n]
	}
	for _, name := range names {
		crops = append(crops, readCrop(tb, name))
	}
	return names, crops
}

func readCrop(tb testing.TB, name string) *Crop {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		tb.Fatal(err)
	}
	rgba := image.NewRGBA(image.Rect(0, 0, 224, 224))
	draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
	crop := new(Crop)
	for i := range len(crop) / 3 {
		copy(crop[3*i:], rgba.Pix[4*i:4*i+3])
	}
	return crop
}

// Seeds adds the files that match a pattern, such as testdata/*.png, to a fuzz target's seeds.
func Seeds(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds match %s: %v", pattern, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// ID returns a request ID, always the same for the same name.
func ID(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }
