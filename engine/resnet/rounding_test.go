package resnet

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// TestBalance checks which weights are rounded the other way: those that lose least by it, as many as it takes, and none
// beyond the range of a weight.
func TestBalance(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		exact []float64
		limit int
		want  []int8 // before, exact is rounded to even, within -127..127
		sum   float64
	}{
		"nothing":            {nil, 9, nil, 0},
		"exact":              {[]float64{1, -2, 3}, 9, []int8{1, -2, 3}, 0},
		"within a half":      {[]float64{0.25, 0.125, 0}, 9, []int8{0, 0, 0}, 0.375},
		"a half":             {[]float64{0.25, 0.25, 0}, 9, []int8{0, 0, 0}, 0.5},
		"minus a half":       {[]float64{-0.25, -0.25, 0}, 9, []int8{0, 0, 0}, -0.5},
		"too small":          {[]float64{0.25, 0.375, 0.125}, 9, []int8{0, 1, 0}, -0.25},
		"too large":          {[]float64{-0.25, -0.375, -0.125}, 9, []int8{0, -1, 0}, 0.25},
		"the first of equal": {[]float64{0.25, 0.375, 0.375}, 9, []int8{0, 1, 0}, 0},
		"none of the others": {[]float64{-0.125, 0.375, 0.375}, 9, []int8{0, 1, 0}, -0.375},
		"two":                {[]float64{0.375, 0.4375, 0.375, 0.375, 0.25}, 9, []int8{1, 1, 0, 0, 0}, -0.1875},
		"two, of which one":  {[]float64{0.375, 0.4375, 0.375, 0.375, 0.25}, 1, []int8{0, 1, 0, 0, 0}, 0.8125},
		"two, of which none": {[]float64{0.375, 0.4375, 0.375, 0.375, 0.25}, 0, []int8{0, 0, 0, 0, 0}, 1.8125},
		"at the top":         {[]float64{127.45, 127.4375, 126.25}, 9, []int8{127, 127, 127}, 0.1375},
		"at the bottom":      {[]float64{-127.45, -127.4375, -126.25}, 9, []int8{-127, -127, -127}, -0.1375},
		"nothing left":       {[]float64{127.25, 127.5}, 9, []int8{127, 127}, 0.75},
		"nothing left below": {[]float64{-127.25, -127.5}, 9, []int8{-127, -127}, -0.75},
	} {
		to := make([]int8, len(test.exact))
		for i, v := range test.exact {
			to[i] = int8(max(-127, min(127, math.RoundToEven(v))))
		}
		sum := balance(to, test.exact, test.limit)
		if !slices.Equal(to, test.want) || math.Abs(sum-test.sum) > 1e-9 {
			t.Errorf("%s: %v with errors of %g, want %v with %g", name, to, sum, test.want, test.sum)
		}
	}
}

// TestRoundChannelByKernels checks the scale of a channel and that its kernels are balanced before the channel is.
func TestRoundChannelByKernels(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		weight []float32
		taps   int
		scale  float32
		want   []int8
	}{
		"zeros":                  {[]float32{0, 0, 0, 0}, 2, 1, []int8{0, 0, 0, 0}},
		"largest is positive":    {[]float32{2, -0.5, 0, 0}, 2, 2. / 127, []int8{127, -32, 0, 0}},
		"largest is negative":    {[]float32{-254, 2, 4, 0}, 2, 2, []int8{-127, 1, 2, 0}},
		"errors cancel":          {[]float32{127, 0.375, -0.375, 0}, 4, 1, []int8{127, 0, 0, 0}},
		"each kernel":            {[]float32{127, 0.375, 0.375, 0, -0.375, -0.3125, -0.25, 0}, 4, 1, []int8{127, 1, 0, 0, -1, 0, 0, 0}},
		"the kernels of one tap": {[]float32{127, 0.375, 0.4375, 0}, 1, 1, []int8{127, 0, 1, 0}},
		// A kernel may be 0.5 off, but not all of them in the same direction.
		"the channel of three": {[]float32{127, 0.25, 0.25, 0, 0.25, 0.25, 0, 0.25, 0.25}, 3, 1, []int8{127, 1, 0, 0, 0, 0, 0, 0, 0}},
		"the channel of five":  {[]float32{127, 0.5, -0.5, -0.5, -0.5, -0.5}, 1, 1, []int8{127, 0, -1, 0, 0, 0}},
	} {
		got := make([]int8, len(test.weight))
		scale := roundChannel(got, test.weight, test.taps)
		if !slices.Equal(got, test.want) || scale != test.scale {
			t.Errorf("%s: %v with scale %g, want %v with %g", name, got, scale, test.want, test.scale)
		}
	}
}

// TestQuantizedKernels checks that all convolutions are rounded kernel by kernel: no kernel's errors sum to more than a
// half and the one step that balancing the channel may add.
func TestQuantizedKernels(t *testing.T) {
	t.Parallel()
	p, q := random(), randomInt8(t)
	for _, s := range resnet18.operations {
		weight, taps := p.convs[s.name].weight, s.kernel*s.kernel
		if s.input == "" {
			weight = forPixels(weight, s.shape, p.spec.Preprocess.Deviation)
		}
		c, off := q.convs[s.name], 0
		for at := 0; at < len(weight); at += taps {
			sum := 0.0
			for i, w := range weight[at:][:taps] {
				sum += float64(w)/float64(c.scale[at/taps/s.in]) - float64(c.weight[at+i])
			}
			if math.Abs(sum) > 0.51 {
				off++
			}
		}
		if kernels := len(weight) / taps; taps > 1 && off > kernels/4 {
			t.Errorf("%s: the errors of %d of %d kernels sum to more than a half", s.name, off, kernels)
		}
	}
}

// TestForPixels checks that each color's weights are divided by that color's deviation, in steps of 255.
func TestForPixels(t *testing.T) {
	t.Parallel()
	stem := resnet18.stem().shape
	weight := make([]float32, stem.out*stem.in*stem.kernel*stem.kernel)
	for i := range weight {
		weight[i] = float32(i%11) - 5
	}
	before := slices.Clone(weight)
	got := forPixels(weight, stem, spec.Torchvision().Deviation)
	for i, w := range before {
		want := float64(w) / 255 / []float64{0.229, 0.224, 0.225}[i/49%3]
		if math.Abs(float64(got[i])-want) > 1e-6*math.Abs(want) {
			t.Fatalf("weight %d of %g became %g, want %g", i, w, got[i], want)
		}
	}
	if !slices.Equal(weight, before) {
		t.Error("the weights for normalized input changed")
	}
}

// means returns a calibration in which all means are zero.
func means() *Calibration {
	c := &Calibration{Exact: map[string][]float64{}, Rounded: map[string][]float64{}}
	for _, o := range resnet18.operations {
		c.Exact[o.name], c.Rounded[o.name] = make([]float64, o.out), make([]float64, o.out)
	}
	return c
}

// TestBiasOfOneChannel checks the correction of biases by one input channel's means against its definition, for 3x3 and
// 1x1 convolutions.
func TestBiasOfOneChannel(t *testing.T) {
	t.Parallel()
	const channel, exact, rounded = 5, 3, 4
	p, from := random(), randomInt8(t)
	for conv, input := range map[string]string{"layer1.0.conv2": "layer1.0.conv1", "layer2.0.downsample.0": "layer1.1.conv2"} {
		c := means()
		c.Exact[input][channel], c.Rounded[input][channel] = exact, rounded
		q := &Quantized{convs: maps.Clone(from.convs)}
		for name, conv := range q.convs {
			conv.bias = slices.Clone(conv.bias)
			q.convs[name] = conv
		}
		q.correctBiases(p, c)
		s, to := byName[conv], from.convs[conv]
		taps := s.kernel * s.kernel
		for o := range s.out {
			want := float64(to.bias[o])
			for tap := range taps {
				i := (o*s.in+channel)*taps + tap
				want += exact*float64(p.convs[conv].weight[i]) - rounded*float64(to.weight[i])*float64(to.scale[o])
			}
			if got := q.convs[conv].bias[o]; math.Abs(float64(got)-want) > 1e-4 {
				t.Fatalf("%s: bias %d is %g, want %g", conv, o, got, want)
			}
		}
	}
}

// TestQuantizeWithoutMeans checks that biases stay as they are if a calibration holds no means.
func TestQuantizeWithoutMeans(t *testing.T) {
	t.Parallel()
	p := random()
	q, err := Quantize(p, &Calibration{Scale: calibration().Scale})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range p.convs {
		if !slices.Equal(q.convs[name].bias, c.bias) {
			t.Errorf("%s: biases changed", name)
		}
	}
}

// TestCalibrationCheck checks what a calibration must hold.
func TestCalibrationCheck(t *testing.T) {
	t.Parallel()
	const name = "layer3.0.conv1"
	scale := func(v float64) func(*Calibration) {
		return func(c *Calibration) { c.Scale[name] = float32(v) }
	}
	for test, want := range map[string]struct {
		change func(*Calibration)
		err    string
	}{
		"complete":         {func(*Calibration) {}, ""},
		"no means":         {func(c *Calibration) { c.Exact, c.Rounded = nil, nil }, ""},
		"only exact":       {func(c *Calibration) { c.Rounded = nil }, "64 and 0 means of conv1, want 64"},
		"only rounded":     {func(c *Calibration) { c.Exact = nil }, "0 and 64 means of conv1, want 64"},
		"one mean missing": {func(c *Calibration) { c.Exact[name] = c.Exact[name][1:] }, "255 and 256 means of layer3.0.conv1, want 256"},
		"one mean more":    {func(c *Calibration) { c.Rounded[name] = append(c.Rounded[name], 0) }, "256 and 257 means of layer3.0.conv1, want 256"},
		"no scale":         {func(c *Calibration) { delete(c.Scale, name) }, "scale of layer3.0.conv1 is 0"},
		"negative":         {scale(-1), "scale of layer3.0.conv1 is -1"},
		"infinite":         {scale(math.Inf(1)), "scale of layer3.0.conv1 is +Inf"},
		"not a number":     {scale(math.NaN()), "scale of layer3.0.conv1 is NaN"},
		"tiny":             {scale(math.SmallestNonzeroFloat32), ""},
	} {
		c := means()
		c.Scale = map[string]float32{}
		for _, activation := range Activations() {
			c.Scale[activation] = 1
		}
		want.change(c)
		if err := c.check(); (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: error %v, want %q", test, err, want.err)
		}
	}
}

// TestLoadQuantizedRefuses checks that the first tensor at fault is named.
func TestLoadQuantizedRefuses(t *testing.T) {
	t.Parallel()
	q := randomInt8(t)
	scale := func(v float32) tensor.Tensor { return tensor.Tensor{Shape: []int{1}, Data: []float32{v}} }
	for want, names := range map[string][]string{
		"conv1.output_scale holds 0, want a positive":  {"conv1.output_scale"},
		"conv1.output_scale holds 0, want a positive ": {"conv1.output_scale", "layer1.0.conv1.output_scale"},
		"other does not belong":                        {"other"},
	} {
		set := q.Set()
		for _, name := range names {
			set.Tensors[name] = scale(0)
		}
		if _, err := LoadQuantized(set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("zero for %v: %v, want an error with %q", names, err, want)
		}
	}
	set := q.Set()
	set.Tensors["conv1.output_scale"] = scale(-1)
	delete(set.Int8, "layer1.0.conv1.weight")
	if _, err := LoadQuantized(set); err == nil || !strings.Contains(err.Error(), "conv1.output_scale holds -1") {
		t.Errorf("two faults: %v, want the first", err)
	}
	got, err := LoadQuantized(q.Set())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range q.convs {
		c := got.convs[name]
		if !slices.Equal(c.weight, want.weight) || !slices.Equal(c.scale, want.scale) || !slices.Equal(c.bias, want.bias) || c.output != want.output {
			t.Errorf("%s: read back otherwise than written", name)
		}
	}
	if !slices.Equal(got.dense[0].weight, q.dense[0].weight) || !slices.Equal(got.dense[0].bias, q.dense[0].bias) {
		t.Error("fc: read back otherwise than written")
	}
}
