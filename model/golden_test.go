package model

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// picture writes a picture of noise and returns its folder.
func picture(t *testing.T, path string, side int) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	r := rand.New(rand.NewPCG(1, 2))
	for y := range side {
		for x := range side {
			img.SetRGBA(x, y, color.RGBA{uint8(r.IntN(256)), uint8(x), uint8(y), 255})
		}
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestGolden checks that a file keeps pictures with the classes that a model finds in them, is refused with other classes, and
// that Verify finds a model that has changed.
func TestGolden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	if err := Save(in, &safetensors.Content{Tensors: network18(), Metadata: map[string]string{"labels": `["ant","bee","fly"]`}}); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good")
	picture(t, filepath.Join(good, "bee", "small.png"), 40)
	picture(t, filepath.Join(good, "bee", "large.png"), 800)
	picture(t, filepath.Join(good, "any.png"), 50)
	if err := ConvertWith(in, out, Extra{Golden: good}, Options{}); err != nil {
		t.Fatal(err)
	}
	set, err := Load(out, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	golden, err := GoldenOf(set.Metadata)
	if err != nil || len(golden) != 3 {
		t.Fatalf("%d golden pictures, %v; want 3", len(golden), err)
	}
	for _, g := range golden {
		if g.Class != 1 || len(g.Picture) > maxGoldenBytes {
			t.Errorf("%s: class %d, %d bytes", g.Name, g.Class, len(g.Picture))
		}
	}
	if small, err := jpeg.DecodeConfig(bytes.NewReader(golden[1].Picture)); golden[1].Name != "bee/large.png" || err != nil || small.Width != 400 {
		t.Errorf("%s became %+v, %v; want a JPEG of 400 pixels", golden[1].Name, small, err)
	}

	picture(t, filepath.Join(good, "fly", "b.png"), 40)
	err = ConvertWith(in, filepath.Join(dir, "bad.safetensors"), Extra{Golden: good}, Options{})
	if err == nil || !strings.Contains(err.Error(), `1 of 4 golden pictures are wrong: fly/b.png is "bee", want "fly"`) {
		t.Errorf("a wrong picture: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bad.safetensors")); !os.IsNotExist(err) {
		t.Errorf("a refused file was written: %v", err)
	}

	// Another model with the same pictures.
	bias := set.Tensors["fc.bias"]
	bias.Data = []float32{3, 2, 0}
	set.Tensors["fc.bias"] = bias
	if err := Save(in, &safetensors.Content{Tensors: set.Tensors, Metadata: set.Metadata}); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(in, Options{})
	if r.Golden != 3 || err == nil || !strings.Contains(err.Error(), `3 of 3 golden pictures are wrong: any.png is "ant", want "bee"; bee/large.png`) {
		t.Errorf("a model with other answers, %d golden pictures: %v", r.Golden, err)
	}
	e, err := engine.New(engine.Config{Weights: set, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := expected(t.Context(), Golden{Name: "wasp/b.png"}, e); err == nil || !strings.Contains(err.Error(), `no class "wasp"`) {
		t.Errorf("an unknown class: %v", err)
	}
	many := make([]Golden, 7)
	for i := range many {
		many[i] = Golden{Name: "x", Class: 9, Picture: []byte{1}}
	}
	if err := CheckGolden(t.Context(), e, many); err == nil || !strings.Contains(err.Error(), "and 2 more") || !strings.Contains(err.Error(), "class 9 of 3") {
		t.Errorf("many wrong pictures: %v", err)
	}
}

// TestGoldenTurned checks that a large picture is turned where the model turns pictures, since the smaller one has no EXIF.
func TestGoldenTurned(t *testing.T) {
	t.Parallel()
	img := image.NewRGBA(image.Rect(0, 0, 960, 640))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range img.Pix {
		img.Pix[i] = uint8(r.IntN(64)) // little enough noise for a file that fits
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		t.Fatal(err)
	}
	// APP1 with EXIF: a little-endian TIFF whose only entry is orientation 6, to be turned by 90 degrees.
	exif := "\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
	path := filepath.Join(t.TempDir(), "turned.jpg")
	if err := os.WriteFile(path, slices.Concat(buf.Bytes()[:2], []byte(exif), buf.Bytes()[2:]), 0o600); err != nil {
		t.Fatal(err)
	}
	for orient, want := range map[bool]image.Point{false: image.Pt(480, 320), true: image.Pt(320, 480)} {
		data, err := small(path, orient)
		if err != nil {
			t.Fatal(err)
		}
		c, err := jpeg.DecodeConfig(bytes.NewReader(data))
		if got := image.Pt(c.Width, c.Height); err != nil || got != want {
			t.Errorf("orient=%t: %v, %v; want %v", orient, got, err, want)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	var files []string
	for _, class := range []string{"a", "b", "c"} {
		for i := range 30 {
			files = append(files, filepath.Join(class, string(rune('A'+i))))
		}
	}
	count := map[string]int{}
	for _, f := range spread(files[:32]) {
		count[filepath.Dir(f)]++
	}
	if count["a"] != 30 || count["b"] != 2 {
		t.Errorf("of 32 files: %v", count)
	}
	clear(count)
	for _, f := range spread(files) {
		count[filepath.Dir(f)]++
	}
	if count["a"] != 11 || count["b"] != 11 || count["c"] != 10 {
		t.Errorf("of 90 files: %v", count)
	}
}

// FuzzGolden checks that metadata of others give pictures within the limits, or an error.
func FuzzGolden(f *testing.F) {
	for _, g := range [][]Golden{nil, {{Name: "a/b.jpg", Class: 1, Picture: []byte("x")}}, {{Class: -1}}, make([]Golden, MaxGolden+1)} {
		text, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`[{"picture":"%"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		golden, err := GoldenOf(map[string]string{MetaGolden: text})
		if err != nil && golden != nil || len(golden) > MaxGolden {
			t.Errorf("%d pictures, %v", len(golden), err)
		}
		for _, g := range golden {
			if g.Class < 0 || len(g.Picture) == 0 || len(g.Picture) > maxGoldenBytes {
				t.Errorf("picture %q of class %d has %d bytes", g.Name, g.Class, len(g.Picture))
			}
		}
	})
}
