package quantize

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func logits(r *resnet.Runner, rgb []byte) []float32 {
	logits := make([]float32, imagenet.Classes)
	r.Forward(logits, rgb)
	return logits
}

// TestAgreement calibrates on some reference crops and compares int8's labels with fp32's on others, through a file: on every
// eighth and some of the rest, with the tag slow on every other and all of the rest.
func TestAgreement(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("classifies hundreds of pictures")
	}
	_, pictures := testutil.Crops(t, 0)
	set, err := weights.Load(testutil.Shared(t, "models", "resnet18-ktb.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	params, err := resnet.Fold(set)
	if err != nil {
		t.Fatal(err)
	}
	fp32, err := resnet.New(params, nil)
	if err != nil {
		t.Fatal(err)
	}
	var chosen, rest [][]byte
	for i, p := range pictures {
		switch {
		case i%8 == 0 || slow && i%2 == 0:
			chosen = append(chosen, p[:])
		case i%2 == 1 && (slow || i%4 == 1):
			rest = append(rest, p[:])
		}
	}
	calibration, err := Calibrate(fp32, chosen, nil)
	if err != nil {
		t.Fatal(err)
	}
	quantized, err := resnet.Quantize(params, calibration)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "int8.safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	made := quantized.Set()
	if err := safetensors.Write(f, &safetensors.Content{Tensors: made.Tensors, Int8: made.Int8, Metadata: made.Metadata}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := weights.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	again, err := resnet.LoadQuantized(read)
	if err != nil {
		t.Fatal(err)
	}
	int8, err := resnet.New(again, nil)
	if err != nil {
		t.Fatal(err)
	}
	r32, r8 := fp32.NewRunner(1), int8.NewRunner(2)
	defer r32.Close()
	defer r8.Close()
	g := Agreement{Classes: imagenet.Classes}
	for _, p := range rest {
		g.Add(logits(r8, p), logits(r32, p))
	}
	t.Log(g)
	if g.Top1 < g.Pictures-1 || g.Top5 < 5*g.Pictures*95/100 {
		t.Errorf("%s; want all but one, and 95 %%", g)
	}
}

// TestScale: a few large values are not worth the resolution of all others; with none, the range is the largest.
func TestScale(t *testing.T) {
	t.Parallel()
	even := histogram{limit: 10}
	for i := range even.counts {
		even.counts[i] = 1000
	}
	if got := float64(even.scale(255)) * 255; math.Abs(got-10) > 0.3 {
		t.Errorf("range of evenly spread values is %g, want about 10", got)
	}
	outlier := histogram{limit: 10}
	for i := range bins / 4 {
		outlier.counts[i] = 1e6
	}
	outlier.counts[bins-1] = 1
	if got := float64(outlier.scale(255)) * 255; got > 4 {
		t.Errorf("range with one outlier in half a thousand million is %g, want near 2.5", got)
	}
	// Zeros have no error, so what is left is one value, near the limit or far below.
	for bin, want := range map[int]float64{bins - 1: 10, bins / 4: 2.5} {
		single := histogram{limit: 10}
		single.counts[0], single.counts[bin] = 1e9, 1
		if got := float64(single.scale(255)) * 255; math.Abs(got-want) > 0.1 {
			t.Errorf("range of zeros and a value in bin %d is %g, want about %g", bin, got, want)
		}
	}
	// Of n small values and a large one, x, a range r < x costs n r²/(12 steps²) + clipPenalty (x-r)², which is least at
	// r = x / (1 + n/(12 steps² clipPenalty)).
	coarse := histogram{limit: 10}
	coarse.counts[1], coarse.counts[bins-1] = 9, 1
	if got, want := float64(coarse.scale(3))*3, 10/(1+9./(3*3*12*clipPenalty)); math.Abs(got-want) > 0.1 {
		t.Errorf("range of few steps is %g, want about %g", got, want)
	}
	if got := (&histogram{}).scale(255); got != 1 {
		t.Errorf("scale of nothing is %g", got)
	}
}

// featuresOnly is a model without classes, for small pictures.
func featuresOnly() spec.Model {
	m := spec.Model{Head: spec.Head{Pool: spec.Average, Activation: spec.None}, Preprocess: spec.Torchvision()}
	m.Preprocess.Crop = spec.MinSize
	return m
}

// newCalibrator is one on random weights and a picture of stripes, as small as pictures may be.
func newCalibrator(t *testing.T, m spec.Model) *calibrator {
	t.Helper()
	m.Preprocess.Crop = spec.MinSize
	n, err := resnet.New(resnet.Random(1, m), nil)
	if err != nil {
		t.Fatal(err)
	}
	rgb := make([]byte, n.InputBytes())
	for i := range rgb {
		rgb[i] = byte(i / 1000)
	}
	c := &calibrator{runner: n.NewRunner(1), classes: n.Classes(), pictures: [][]byte{rgb}}
	t.Cleanup(c.runner.Close)
	return c
}

// TestTry: a guess that is much too wide becomes narrower, one that is much too narrow wider, by the logits or by the features of a
// network without.
func TestTry(t *testing.T) {
	t.Parallel()
	for _, m := range []spec.Model{spec.ImageNet(), featuresOnly()} {
		c := newCalibrator(t, m)
		good, err := c.guess()
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []float32{10, 0.1} {
			scale := maps.Clone(good)
			scale[stem] *= wrong
			if err := c.try(scale, 1); err != nil {
				t.Fatal(err)
			}
			want := around[0]
			if wrong < 1 {
				want = around[len(around)-1]
			}
			if got := scale[stem] / good[stem] / wrong; math.Abs(float64(got-want)) > 1e-3 {
				t.Errorf("%d classes: a guess %g times the good one became %g times that, want %g", c.classes, wrong, got, want)
			}
		}
	}
}

// TestMeans holds means to the pictures' own.
func TestMeans(t *testing.T) {
	t.Parallel()
	c := newCalibrator(t, spec.ImageNet())
	scale, err := c.guess()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.means(scale)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range resnet.Activations() {
		var sum, rounded float64
		pixels, channel := 0, resnet.Channels(name)-1
		if _, err := c.pass(c.pictures[0], func(shown string, values []float32) {
			if shown != name {
				return
			}
			for i := channel; i < len(values); i += resnet.Channels(name) {
				sum += float64(values[i])
				pixels++
			}
			resnet.Round(name, values, scale[name])
			for i := channel; i < len(values); i += resnet.Channels(name) {
				rounded += float64(values[i])
			}
		}); err != nil {
			t.Fatal(err)
		}
		if want := sum / float64(pixels); math.Abs(got.Exact[name][channel]-want) > 1e-6 {
			t.Errorf("%s: mean %g, want %g", name, got.Exact[name][channel], want)
		}
		if want := rounded / float64(pixels); math.Abs(got.Rounded[name][channel]-want) > 1e-6 {
			t.Errorf("%s: rounded mean %g, want %g", name, got.Rounded[name][channel], want)
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	t.Parallel()
	n, err := resnet.New(resnet.Random(1, spec.ImageNet()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Calibrate(n, nil, nil); err == nil {
		t.Error("no pictures, no error")
	}
}

// TestAgreementString checks what is compared for each number of classes.
func TestAgreementString(t *testing.T) {
	t.Parallel()
	type pair struct{ rounded, exact []float32 }
	for classes, test := range map[int]struct {
		pairs []pair
		want  string
	}{
		0: {[]pair{{[]float32{3, 4}, []float32{3, 4}}, {[]float32{3, 4}, []float32{4, 3}}, {[]float32{0, 0}, []float32{0, 0}}},
			"3 pictures: cosine between features and fp32's 0.9867"},
		1: {[]pair{{[]float32{0.1}, []float32{5}}, {[]float32{0.1}, []float32{-0.1}}},
			"2 pictures: sign of the output equal to fp32's for 50.0 %"},
		3: {[]pair{{[]float32{1, 2, 3}, []float32{2, 1, 3}}, {[]float32{1, 2, 3}, []float32{1, 3, 2}}, {[]float32{3, 1, 1}, []float32{2, 1, 1}}},
			"3 pictures: best label equal to fp32's for 66.7 %"},
		7: {[]pair{{[]float32{0, 0, 3, 4, 5, 6, 7}, []float32{9, 0, 0, 4, 5, 6, 7}}, {[]float32{1, 2, 3, 4, 5, 6, 7}, []float32{1, 2, 3, 4, 5, 6, 7}}},
			"2 pictures: best label equal to fp32's for 50.0 %, best five for 90.0 %"},
	} {
		g := Agreement{Classes: classes}
		for _, p := range test.pairs {
			g.Add(p.rounded, p.exact)
		}
		if g.String() != test.want || classes == 0 && g.Top1+g.Top5 > 0 {
			t.Errorf("%d classes: %q, want %q", classes, g, test.want)
		}
	}
	if want := "no pictures compared"; (Agreement{}).String() != want {
		t.Errorf("%q, want %q", Agreement{}, want)
	}
}

// TestCalibrateFeatures calibrates a network that has no classes, by its features.
func TestCalibrateFeatures(t *testing.T) {
	t.Parallel()
	n, err := resnet.New(resnet.Random(1, featuresOnly()), nil)
	if err != nil {
		t.Fatal(err)
	}
	rgb := make([]byte, n.InputBytes())
	for i := range rgb {
		rgb[i] = byte(i / 1000)
	}
	passes := 0
	c, err := Calibrate(n, [][]byte{rgb}, func(done, of int) error {
		passes = max(passes, done)
		if done > of {
			t.Errorf("pass %d of %d", done, of)
		}
		return nil
	})
	if err != nil || passes != 3+1+len(around) {
		t.Fatalf("%d passes, error %v", passes, err)
	}
	for _, name := range resnet.Activations() {
		if !(c.Scale[name] > 0) {
			t.Errorf("scale of %s is %g", name, c.Scale[name])
		}
	}
}
