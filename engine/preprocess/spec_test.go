package preprocess

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestCropEqualsPillow compares with testdata/specs.txt, which generate_specs.py wrote.
func TestCropEqualsPillow(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join("testdata", "specs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var r Resizer
	var in Input
	for lines := bufio.NewScanner(file); lines.Scan(); {
		p := spec.Torchvision()
		var kind, want string
		var width, height int
		if _, err := fmt.Sscan(lines.Text(), &p.Mode, &p.Interpolation, &p.Resize, &p.Crop, &p.Center,
			&kind, &width, &height, &want); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		r.Spec = p
		r.Crop(&in, picture(kind, width, height), 3*width, width, height)
		if got := fmt.Sprintf("%x", sha256.Sum256(in))[:len(want)]; got != want {
			t.Errorf("%s: got %s", lines.Text(), got)
		}
	}
}

// randomSpec returns a valid description.
func randomSpec(rng *rand.Rand) spec.Preprocess {
	p := spec.Torchvision()
	p.Mode = []spec.Mode{spec.Shorter, spec.Squash, spec.Fill}[rng.IntN(3)]
	p.Interpolation = []spec.Interpolation{spec.Bilinear, spec.Bicubic, spec.Nearest}[rng.IntN(3)]
	p.Center = []spec.Rounding{spec.HalfEven, spec.Floor}[rng.IntN(2)]
	p.Crop = spec.MinSize + spec.SizeStep*rng.IntN((spec.MaxSize-spec.MinSize)/spec.SizeStep+1)
	p.Resize = p.Crop + rng.IntN([]int{1, 50, 1025 - p.Crop}[rng.IntN(3)])
	return p
}

// FuzzCrop crops pictures of any size by any description, in one piece and in pieces of rows. Pixels outside the window
// must not matter, nor pieces.
func FuzzCrop(f *testing.F) {
	for i, size := range []image.Point{{1, 1}, {2, 300}, {500, 375}, {257, 256}, {1000, 20}, {3, 1600}, {224, 224}} {
		for j := range 4 {
			f.Add(uint16(size.X), uint16(size.Y), uint64(4*i+j))
		}
	}
	f.Fuzz(func(t *testing.T, width, height uint16, seed uint64) {
		w, h := max(int(width), 1), max(int(height), 1)
		if w*h > 1<<20 {
			t.Skip("large")
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		r := Resizer{Spec: randomSpec(rng)}
		if err := r.Spec.Validate(); err != nil {
			t.Fatal(err)
		}
		stride := 3*w + rng.IntN(40)
		pix := make([]byte, stride*(h-1)+3*w)
		for i := range pix {
			pix[i] = byte(rng.Uint32())
		}
		var want, got Input
		r.Crop(&want, pix, stride, w, h)
		if n := 3 * r.Spec.Crop * r.Spec.Crop; len(want) != n {
			t.Fatalf("%d bytes, want %d", len(want), n)
		}
		window := Window(r.Spec)(w, h)
		if window.Empty() || !window.In(image.Rect(0, 0, w, h)) {
			t.Fatalf("%+v: window %v of %dx%d", r.Spec, window, w, h)
		}
		for i := range pix {
			if !(image.Point{X: i % stride / 3, Y: i / stride}).In(window) {
				pix[i] ^= 255
			}
		}
		each := 1 + rng.IntN(40)
		for first := window.Min.Y; first < window.Max.Y; first += each {
			end := min(first+each, window.Max.Y)
			r.Rows(pix[first*stride:min(end*stride, len(pix)):min(end*stride, len(pix))], stride, w, h, first, end)
		}
		if r.Finish(&got); !bytes.Equal(got, want) {
			t.Errorf("%+v of %dx%d in pieces of %d rows: another crop", r.Spec, w, h, each)
		}
	})
}

// TestShape holds new sizes and crops worked out by hand.
func TestShape(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mode          spec.Mode
		resize, crop  int
		center        spec.Rounding
		width, height int
		want          string // of columns, then of rows: source from its first pixel, resized to, cropped from
	}{
		{spec.Shorter, 256, 224, spec.HalfEven, 500, 375, "500+0 341 58, 375+0 256 16"}, // 117/2 is 58.5
		{spec.Shorter, 256, 224, spec.Floor, 375, 500, "375+0 256 16, 500+0 341 58"},
		{spec.Shorter, 235, 224, spec.HalfEven, 235, 237, "235+0 235 6, 237+0 237 6"}, // 5.5 and 6.5
		{spec.Shorter, 235, 224, spec.Floor, 235, 237, "235+0 235 5, 237+0 237 6"},
		{spec.Squash, 224, 224, spec.HalfEven, 500, 375, "500+0 224 0, 375+0 224 0"},
		{spec.Fill, 256, 224, spec.HalfEven, 500, 375, "375+62 256 16, 375+0 256 16"},
		// 230/224*224 is a little less than 230 in float64, and becomes 229.
		{spec.Fill, 224, 224, spec.HalfEven, 230, 300, "229+0 224 0, 229+35 224 0"},
	} {
		p := spec.Torchvision()
		p.Mode, p.Resize, p.Crop, p.Center = test.mode, test.resize, test.crop, test.center
		x, y := scales(p, test.width, test.height)
		describe := func(s scale) string {
			return fmt.Sprintf("%d+%d %.0f %d", s.source, s.offset, float64(s.source)/s.ratio, s.crop)
		}
		if got := describe(x) + ", " + describe(y); got != test.want {
			t.Errorf("%+v of %dx%d: %s, want %s", p, test.width, test.height, got, test.want)
		}
	}
}

// TestWeightsFit proves the claims about sizes at precision for many ratios, whole and broken, of enlarged and reduced
// pictures.
func TestWeightsFit(t *testing.T) {
	t.Parallel()
	p := spec.Torchvision()
	p.Mode, p.Resize, p.Interpolation = spec.Squash, 224, spec.Bicubic
	var a axis
	for source := 1; source < 3000; source += 1 + source/40 {
		x, _ := scales(p, source, 1)
		a.set(x, longRow)
		for i := range p.Crop {
			var positive, negative float64
			for _, w := range a.of(i) {
				if w >= 8<<precision/7 {
					t.Fatalf("source of %d: weight %d", source, w)
				}
				positive += max(float64(w), 0)
				negative += max(-float64(w), 0)
			}
			if positive >= 8<<precision/7 || negative >= 1<<precision/7 {
				t.Fatalf("source of %d: positive weights sum to %v, negative ones to %v", source,
					positive/(1<<precision), negative/(1<<precision))
			}
		}
	}
}

// TestAddTimes compares with as many additions.
func TestAddTimes(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		step := float64(1+rng.IntN(5000)) / float64(128+rng.IntN(900))
		if rng.IntN(3) == 0 {
			step = 1 / float64(1+rng.IntN(100)) / 1024
		}
		n := rng.Int64N(20_000)
		want := step * 0.5
		for range n {
			want += step
		}
		if got := addTimes(step*0.5, step, n); got != want {
			t.Errorf("%v added %d times: %v, want %v", step, n, got, want)
		}
	}
	// 50 million pixels in a row, resized to 10^11.
	const step = 1.0 / 1024
	if got := addTimes(step/2, step, 1e11); got < 97e6 || got > 98e6 {
		t.Errorf("10^11 steps of 1/1024: %v, want about 97,656,250", got)
	}
}

// TestOwnModels compares with what Pillow makes of photographs for the preprocessing of models that people have.
func TestOwnModels(t *testing.T) {
	t.Parallel()
	type expectation struct {
		File       string
		Preprocess *struct {
			spec.Preprocess
			Std [3]float64
		}
		SHA256 map[string]string `json:"input_sha256"`
	}
	var c Cropper
	var in Input
	count := 0
	for _, e := range jsonLines[expectation](t, testutil.Shared(t, "own", "expectations.jsonl")) {
		if e.Preprocess == nil {
			continue
		}
		c.Spec = e.Preprocess.Preprocess
		c.Spec.Deviation = e.Preprocess.Std
		if c.Spec.Center == "" {
			c.Spec.Center = spec.HalfEven
		}
		if err := c.Spec.Validate(); err != nil {
			t.Fatalf("%s: %v", e.File, err)
		}
		for photo, want := range e.SHA256 {
			file, err := os.ReadFile(testutil.Shared(t, "own", photo))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Crop(&in, file); err != nil {
				t.Fatalf("%s: %v", photo, err)
			}
			if got := sum(in); got != want {
				t.Errorf("%s, %s: SHA-256 %s, want %s", e.File, photo, got, want)
			}
			count++
		}
	}
	if count == 0 {
		t.Error("no expectations")
	}
}
