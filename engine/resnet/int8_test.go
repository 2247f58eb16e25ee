package resnet

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// randomInt8 is random's weights in 8 bits, calibrated with one picture of noise; made once, none may change them.
func randomInt8(tb testing.TB) *Quantized {
	tb.Helper()
	return made(tb, quantizedRandom)
}

var quantizedRandom = sync.OnceValues(func() (*Quantized, error) { return Quantize(random(), calibration()) })

// calibration is random's with noise(1).
var calibration = sync.OnceValue(func() *Calibration { return calibrate(random(), 1) })

// packed8 is randomInt8's weights for the best kernels of this CPU, made once.
func packed8(tb testing.TB) *Network { tb.Helper(); return made(tb, packedInt8) }

var packedInt8 = sync.OnceValues(func() (*Network, error) {
	q, err := quantizedRandom()
	if err != nil {
		return nil, err
	}
	return New(q, nil)
})

// int8On packs quantized weights for one level's kernels.
func int8On(p *plan, q *Quantized, k *kernel.Set, k8 *kernel8.Set) *Network {
	var work packing
	n := build(p, q.top, int8s{q, k, k8}, &work)
	work.do()
	return n
}

// int8Until packs the steps up to the one of a name, after which passes end.
func int8Until(name string, q *Quantized, k *kernel.Set, k8 *kernel8.Set) *Network {
	i := slices.IndexFunc(resnet18.operations, func(o operation) bool { return o.name == name })
	n := int8On(&plan{defaultSize, resnet18.operations[:i+1]}, q, k, k8)
	n.layers = n.layers[:i+1] // without the head
	return n
}

// calibrate takes the largest values of a picture of noise as ranges.
func calibrate(p *Params, seed uint64) *Calibration {
	n := fp32On(defaultSize, p, kernel.Sets()[len(kernel.Sets())-1])
	r := n.NewRunner(2) // two, so that showing to one observer is tested too
	defer r.Close()
	c := &Calibration{map[string]float32{}, map[string][]float64{}, map[string][]float64{}}
	var logits [defaultClasses]float32
	r.Observe(logits[:], noise(seed), func(name string, values []float32) {
		steps := float32(255)
		if Signed(name) {
			steps = 127
		}
		for _, v := range values {
			c.Scale[name] = max(c.Scale[name], v/steps, -v/steps)
		}
	})
	for _, s := range resnet18.operations {
		c.Exact[s.name], c.Rounded[s.name] = make([]float64, s.out), make([]float64, s.out)
	}
	r.Observe(logits[:], noise(seed), func(name string, values []float32) {
		rounded := slices.Clone(values)
		Round(name, rounded, c.Scale[name])
		pixels := float64(byName[name].size * byName[name].size)
		if name == resnet18.stem().name {
			pixels /= 4 // pooled
		}
		for i := range values {
			channel := i % Channels(name)
			c.Exact[name][channel] += float64(values[i]) / pixels
			c.Rounded[name][channel] += float64(rounded[i]) / pixels
		}
	})
	return c
}

// TestInt8Stem compares the first layer, including borders, with its definition: quantized weights times normalized pixels,
// zero outside the picture. Only the rounding of the result may differ.
func TestInt8Stem(t *testing.T) {
	t.Parallel()
	q, stem := randomInt8(t), resnet18.stem()
	c := q.convs[stem.name]
	weight := make([]float32, len(c.weight))
	for i, w := range c.weight {
		o, color := i/(3*49), i/49%3
		weight[i] = float32(float64(w) * float64(c.scale[o]) * 255 * q.spec.Preprocess.Deviation[color])
	}
	rgb := noise(5)
	want := pixels(q.spec.Preprocess, rgb).convolve(stem.shape, conv{weight: weight, bias: c.bias}).relu().pool()
	for _, k := range withoutWinograd(kernel8.Sets()) {
		n := int8Until(stem.name, q, kernel.For(k.Level), k)
		for _, threads := range []int{1, 3} {
			r := n.NewRunner(threads)
			var logits [defaultClasses]float32
			r.Forward(logits[:], rgb)
			out := r.pass.(*int8Pass).buffer(stem.to)
			for y := range 56 {
				for column := range 56 {
					for o := range 64 {
						got := float64(out.data[out.at(y, column)+o])
						exact := math.Min(255, want.at(o, y, column)/float64(c.output))
						if math.Abs(got-exact) > 0.51 {
							t.Fatalf("%s, %d threads: row %d, column %d, channel %d: %g, want %g", k.Level, threads, y, column, o, got, exact)
						}
					}
				}
			}
			r.Close()
		}
	}
}

// withoutWinograd puts before each set that has Winograd's algorithms a copy that has none, plain Go first: the definition.
func withoutWinograd(sets []*kernel8.Set) (all []*kernel8.Set) {
	for _, s := range sets {
		if s.F4 != nil {
			direct := *s
			direct.F4, direct.F2, direct.Stride2 = nil, nil, nil
			all = append(all, &direct)
		}
		all = append(all, s)
	}
	return all
}

// families holds what the levels compute: those with Winograd's algorithms the same bit for bit, those without likewise, and
// both nearly the same.
type families[T float32 | uint8] struct{ direct, winograd []T }

// same reports whether values are those of the first level of a set's family; the first level's always are.
func (f *families[T]) same(k8 *kernel8.Set, values []T) bool {
	family := &f.direct
	if k8.F4 != nil {
		family = &f.winograd
	}
	if *family == nil {
		*family = slices.Clone(values)
	}
	return slices.Equal(*family, values)
}

// apart is the squared distance between the families, relative to the square of the values; 0 with one family.
func (f *families[T]) apart() float64 {
	var distance, square float64
	for i, w := range f.winograd {
		d := float64(w) - float64(f.direct[i])
		distance, square = distance+d*d, square+float64(w)*float64(w)
	}
	return distance / max(square, 1)
}

// mostApart bounds families.apart. A byte of an activation that is rounded differently changes others; int8 is some 1e-3 from
// fp32.
const mostApart = 5e-4

// TestInt8 compares the levels and numbers of threads with each other, and with the fp32 network roughly: noise on random
// weights is not what ranges are for. TestInt8FirstSteps has plain Go; with the tag slow this test has it too.
func TestInt8(t *testing.T) {
	t.Parallel()
	p, q := random(), randomInt8(t)
	rgb := noise(6)
	k := kernel.Sets()[len(kernel.Sets())-1] // the last layer, and the stem of one family, are fp32: the same kernel for all
	var exact [defaultClasses]float32
	r := fp32On(defaultSize, p, k).NewRunner(1)
	r.Forward(exact[:], rgb)
	r.Close()
	var all families[float32]
	for _, k8 := range withoutWinograd(quick(kernel8.Sets())) {
		n := int8On(resnet18, q, k, k8)
		for _, threads := range []int{1, 2, 3} {
			passes := 2 // the second must not see what the first left behind
			if k8.Level == 0 && !slow || testing.Short() {
				if threads > 1 {
					continue
				}
				passes = 1
			}
			r := n.NewRunner(threads)
			var got [defaultClasses]float32
			for range passes {
				r.Forward(got[:], rgb)
				if !all.same(k8, got[:]) {
					t.Fatalf("%s, %s, %d threads: logits differ from those of the first level", k8.Level, n.layers[1].Algorithm, threads)
				}
			}
			r.Close()
		}
	}
	if apart := all.apart(); apart > mostApart {
		t.Errorf("logits by Winograd's algorithms are %.1e from those of direct convolutions, want at most %g", apart, mostApart)
	}
	if cosine := cosineOf(all.direct, exact[:]); cosine < 0.995 {
		t.Errorf("int8 logits lie at a cosine of %.4f to fp32's, want nearly 1", cosine)
	}
}

// TestInt8FirstSteps compares all levels with plain Go after the stem, the first stage and the first block of the second, which
// have every kind of step: plain Go takes seconds for the rest.
func TestInt8FirstSteps(t *testing.T) {
	t.Parallel()
	const last = "layer2.0.conv2"
	q, rgb := randomInt8(t), noise(6)
	k := kernel.Sets()[len(kernel.Sets())-1] // the stem is fp32 in one family: the same kernel for all
	var all families[uint8]
	for i, k8 := range withoutWinograd(kernel8.Sets()) {
		n := int8Until(last, q, k, k8)
		for _, threads := range []int{1, 3} {
			if k8.Level == 0 && i > 0 && threads > 1 {
				continue
			}
			r := n.NewRunner(threads)
			var logits [defaultClasses]float32
			r.Forward(logits[:], rgb)
			var got []uint8
			out := r.pass.(*int8Pass).buffer(byName[last].to)
			for y := range out.size {
				got = append(got, out.data[out.at(y, 0):][:out.size*out.channels]...)
			}
			r.Close()
			if !all.same(k8, got) {
				t.Errorf("%s, %s, %d threads: output of %s differs from plain Go's", k8.Level, n.layers[1].Algorithm, threads, last)
			}
		}
	}
	if apart := all.apart(); apart > mostApart {
		t.Errorf("outputs of %s by Winograd's algorithms are %.1e from those of direct convolutions, want at most %g", last, apart, mostApart)
	}
}

func cosineOf(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot, aa, bb = dot+float64(a[i]*b[i]), aa+float64(a[i]*a[i]), bb+float64(b[i]*b[i])
	}
	return dot / math.Sqrt(aa*bb)
}

func TestInt8AllocatesNothing(t *testing.T) {
	n := packed8(t)
	if n.Precision() != "int8" {
		t.Errorf("Precision() = %q", n.Precision())
	}
	r := n.NewRunner(2)
	defer r.Close()
	rgb := noise(7)
	var logits [defaultClasses]float32
	if allocs := testing.AllocsPerRun(3, func() { r.Forward(logits[:], rgb) }); allocs != 0 {
		t.Errorf("Forward allocates %v times", allocs)
	}
}

// TestBiases compares the mean of each channel after a downsampling convolution, which no ReLU follows, with the fp32
// network's; without the correction it is off by several times as much.
func TestBiases(t *testing.T) {
	t.Parallel()
	const name = "layer2.0.downsample.0"
	p, c := random(), calibration()
	sets, sets8 := kernel.Sets(), kernel8.Sets()
	off := func(q *Quantized) float64 {
		r := int8Until(name, q, sets[len(sets)-1], sets8[len(sets8)-1]).NewRunner(1)
		defer r.Close()
		var logits [defaultClasses]float32
		r.Forward(logits[:], noise(1))
		out := r.pass.(*int8Pass).buffer(byName[name].to)
		square, size := 0.0, byName[name].size
		for channel, exact := range c.Exact[name] {
			sum := 0.0
			for y := range size {
				for x := range size {
					sum += (float64(out.data[out.at(y, x)+channel]) - 128) * float64(c.Scale[name])
				}
			}
			d := sum/float64(size*size) - exact
			square += d * d
		}
		return math.Sqrt(square / float64(len(c.Exact[name])))
	}
	// Correction changes nothing but biases.
	q := randomInt8(t)
	uncorrected := &Quantized{convs: maps.Clone(q.convs), top: q.top}
	for name, conv := range uncorrected.convs {
		conv.bias = p.convs[name].bias
		uncorrected.convs[name] = conv
	}
	corrected, plain := off(q), off(uncorrected)
	t.Logf("means are off by %.2g, without correction by %.2g", corrected, plain)
	if corrected > plain/2 {
		t.Errorf("means are off by %.2g, without correction by %.2g; want less than half", corrected, plain)
	}
}

// TestRoundChannel checks the rules of rounding: each weight becomes one of its two neighbors, and the errors of the whole
// channel sum to at most a half, however they add up in kernels.
func TestRoundChannel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for name, test := range map[string]struct {
		taps   int
		weight func(i int) float32
	}{
		"each below a half": {1, func(int) float32 { return 10.4 }},
		"each above a half": {1, func(int) float32 { return -3.4 }},
		"kernels":           {9, func(int) float32 { return 5.3 }},
		"random":            {9, func(int) float32 { return float32(r.NormFloat64() * 20) }},
		"random, 1x1":       {1, func(int) float32 { return float32(r.NormFloat64() * 20) }},
	} {
		from := make([]float32, 90)
		for i := range from {
			from[i] = max(-126, min(126, test.weight(i)))
		}
		from[0] = 127 // so that a step is 1
		to := make([]int8, len(from))
		if scale := roundChannel(to, from, test.taps); scale != 1 {
			t.Fatalf("%s: scale %g, want 1", name, scale)
		}
		total := 0.0
		for i, v := range from {
			off := float64(v) - float64(to[i])
			if math.Abs(off) > 1 {
				t.Errorf("%s: %g became %d", name, v, to[i])
			}
			total += off
		}
		if math.Abs(total) > 0.5+1e-4 {
			t.Errorf("%s: errors sum to %g, want at most a half", name, total)
		}
	}
}

// TestResidualBias checks that what rounding adds to the mean of a residual is subtracted from the bias of the
// convolution that adds it: of a block's input, and of a downsampling convolution.
func TestResidualBias(t *testing.T) {
	t.Parallel()
	residuals := map[string]string{ // by the convolution that adds it
		"layer1.0.conv2": "conv1", "layer2.0.conv2": "layer2.0.downsample.0", "layer3.1.conv2": "layer3.0.conv2",
	}
	corrected := func(shift func(i int) float64) *Quantized {
		c := &Calibration{Exact: map[string][]float64{}, Rounded: map[string][]float64{}}
		for _, o := range resnet18.operations {
			c.Exact[o.name], c.Rounded[o.name] = make([]float64, o.out), make([]float64, o.out)
		}
		for _, residual := range residuals {
			for i := range c.Rounded[residual] {
				c.Rounded[residual][i] = shift(i)
			}
		}
		q := &Quantized{convs: maps.Clone(randomInt8(t).convs)}
		for name, conv := range q.convs {
			conv.bias = slices.Clone(conv.bias)
			q.convs[name] = conv
		}
		q.correctBiases(random(), c)
		return q
	}
	shift := func(i int) float64 { return float64(i%5) - 1 }
	before, after := corrected(func(int) float64 { return 0 }), corrected(shift)
	for conv := range residuals {
		for i, b := range before.convs[conv].bias {
			if d := float64(after.convs[conv].bias[i]-b) + shift(i); math.Abs(d) > 1e-5 {
				t.Fatalf("%s: bias %d changed by %g, want %g", conv, i, after.convs[conv].bias[i]-b, -shift(i))
			}
		}
	}
}

// TestRound checks rounding to the nearest step, halves to even, within the range of bytes.
func TestRound(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]float32{
		"conv1":                 {0, 0, 1, 2, 127.5},
		"layer2.0.downsample.0": {-64, -1, 1, 2, 63.5},
	} {
		got := []float32{-1000, -1.2, 0.8, 1.75, 1000}
		Round(name, got, 0.5)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	t.Parallel()
	p, q := random(), randomInt8(t)
	c := &Calibration{maps.Clone(calibration().Scale), maps.Clone(calibration().Exact), calibration().Rounded}
	delete(c.Exact, "layer4.1.conv2")
	if _, err := Quantize(p, c); err == nil || !strings.Contains(err.Error(), "0 and 512 means of layer4.1.conv2") {
		t.Errorf("Quantize without means: %v", err)
	}
	c.Scale["layer1.0.conv1"] = 0
	if _, err := Quantize(p, c); err == nil || !strings.Contains(err.Error(), "scale of layer1.0.conv1 is 0") {
		t.Errorf("Quantize without a scale: %v", err)
	}
	if _, err := LoadQuantized(asSet(p)); err == nil || !strings.Contains(err.Error(), "not quantized") {
		t.Errorf("LoadQuantized of fp32 weights: %v", err)
	}
	set := q.Set()
	delete(set.Int8, "layer2.0.conv1.weight")
	if _, err := LoadQuantized(set); err == nil || !strings.Contains(err.Error(), "layer2.0.conv1.weight has shape []") {
		t.Errorf("LoadQuantized without a tensor: %v", err)
	}
	set = q.Set()
	set.Tensors["conv1.output_scale"] = tensor.Tensor{Shape: []int{1}, Data: []float32{-1}}
	if _, err := LoadQuantized(set); err == nil || !strings.Contains(err.Error(), "conv1.output_scale holds -1") {
		t.Errorf("LoadQuantized with a negative scale: %v", err)
	}
}

func BenchmarkForwardInt8(b *testing.B) {
	q := randomInt8(b)
	rgb := noise(1)
	for _, k8 := range withoutWinograd(kernel8.Sets()) {
		n := int8On(resnet18, q, kernel.For(k8.Level), k8)
		name := k8.Level.String() + "/" + n.Layers()[1].Algorithm
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%d", name, threads), func(b *testing.B) {
				r := n.NewRunner(threads)
				defer r.Close()
				var logits [defaultClasses]float32
				for b.Loop() {
					r.Forward(logits[:], rgb)
				}
			})
		}
	}
}
