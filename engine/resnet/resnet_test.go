package resnet

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exact is the network by its definition in float64, image by rows of channels first: as plain as it can be. It shares
// nothing with the steps but the plan.
type exact struct {
	data           []float64 // [channel][row][column]
	channels, size int
}

func (x exact) at(c, y, column int) float64 {
	if y < 0 || y >= x.size || column < 0 || column >= x.size {
		return 0
	}
	return x.data[(c*x.size+y)*x.size+column]
}

// padded is a channel inside a border of zeros.
func (x exact) padded(c, border int) (plane []float64, side int) {
	side = x.size + 2*border
	plane = make([]float64, side*side)
	for y := range x.size {
		copy(plane[(y+border)*side+border:], x.data[(c*x.size+y)*x.size:][:x.size])
	}
	return plane, side
}

func (x exact) convolve(s shape, c conv) exact {
	y := exact{make([]float64, s.out*s.size*s.size), s.out, s.size}
	for o := range s.out {
		plane := y.data[o*s.size*s.size:][:s.size*s.size]
		for i := range plane {
			plane[i] = float64(c.bias[o])
		}
	}
	var inputs sync.WaitGroup // channels of outputs are computed on two goroutines
	half := s.out / 2
	for part := range 2 {
		inputs.Go(func() {
			for i := range s.in {
				from, side := x.padded(i, s.kernel/2)
				for o := part * half; o < (part+1)*half; o++ {
					for tap, w := range c.weight[(o*s.in+i)*s.kernel*s.kernel:][:s.kernel*s.kernel] {
						r, q := tap/s.kernel, tap%s.kernel
						for row := range s.size {
							line := from[(row*s.stride+r)*side+q:]
							for column := range y.data[(o*s.size+row)*s.size:][:s.size] {
								y.data[(o*s.size+row)*s.size+column] += float64(w) * line[column*s.stride]
							}
						}
					}
				}
			}
		})
	}
	inputs.Wait()
	return y
}

func (x exact) relu() exact {
	for i, v := range x.data {
		x.data[i] = max(0, v)
	}
	return x
}

func (x exact) pool() exact {
	y := exact{make([]float64, x.channels*x.size*x.size/4), x.channels, x.size / 2}
	for c := range y.channels {
		for row := range y.size {
			for column := range y.size {
				best := 0.0
				for r := -1; r <= 1; r++ {
					for q := -1; q <= 1; q++ {
						best = max(best, x.at(c, 2*row+r, 2*column+q))
					}
				}
				y.data[(c*y.size+row)*y.size+column] = best
			}
		}
	}
	return y
}

// pixels is a square picture as the network is defined on it, normalized.
func pixels(p spec.Preprocess, rgb []byte) exact {
	size := int(math.Sqrt(float64(len(rgb) / 3)))
	x := exact{make([]float64, 3*size*size), 3, size}
	for i, v := range rgb {
		color := i % 3
		x.data[color*size*size+i/3] = (float64(v)/255 - p.Mean[color]) / p.Deviation[color]
	}
	return x
}

func exactLogits(plan *plan, p *Params, rgb []byte) []float64 {
	logits, _ := exactHead(p.top, exactFeatures(plan, p, rgb))
	return logits
}

// exactFeatures is the output of the last convolution.
func exactFeatures(plan *plan, p *Params, rgb []byte) exact {
	stem := plan.stem()
	outputs := map[string]exact{stem.name: pixels(p.spec.Preprocess, rgb).convolve(stem.shape, p.convs[stem.name]).relu().pool()}
	for _, o := range plan.operations[1:] {
		y := outputs[o.input].convolve(o.shape, p.convs[o.name])
		if o.residual != "" {
			for i, v := range outputs[o.residual].data {
				y.data[i] += v
			}
		}
		if !o.signed() {
			y = y.relu()
		}
		outputs[o.name] = y
	}
	return outputs[plan.last().name]
}

// exactHead is a head by its definition.
func exactHead(t top, x exact) (logits, means []float64) {
	area := x.size * x.size
	var maxima []float64
	for c := range features {
		sum := 0.0
		for _, v := range x.data[c*area:][:area] {
			sum += v
		}
		means = append(means, sum/float64(area))
		maxima = append(maxima, slices.Max(x.data[c*area:][:area]))
	}
	in := means
	if t.spec.Head.Pool == spec.MaxAverage {
		in = slices.Concat(maxima, means)
	}
	if length := float64(t.spec.Head.Normalize); length > 0 {
		sum := 0.0
		for _, v := range in {
			sum += v * v
		}
		in = slices.Clone(in)
		for i := range in {
			in[i] *= length / math.Sqrt(sum)
		}
	}
	for i, relu := range t.spec.Head.ReLU {
		logits = nil
		for o, b := range t.dense[i].bias {
			sum := float64(b)
			for j, v := range in {
				sum += v * float64(t.dense[i].weight[o*len(in)+j])
			}
			if relu {
				sum = max(0, sum)
			}
			logits = append(logits, sum)
		}
		in = logits
	}
	return logits, means
}

// The size and the classes of torchvision's weights.
const (
	defaultSize    = 224
	defaultClasses = 1000
)

// noise is a picture of torchvision's size.
func noise(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	rgb := make([]byte, 3*defaultSize*defaultSize)
	for i := range rgb {
		rgb[i] = byte(r.Uint32())
	}
	return rgb
}

// random is random weights, made once for all tests; none may change them.
var random = sync.OnceValue(func() *Params { return Random(1, spec.ImageNet()) })

// fp32On packs weights for one level's kernels and a picture size.
func fp32On(size int, p *Params, k *kernel.Set) *Network {
	var work packing
	n := build(newPlan(size), p.top, fp32{p, k}, &work)
	work.do()
	return n
}

// quick returns the levels that tests run at full size: not plain Go, unless it is the only one or the tag slow is set.
func quick[S any](levels []S) []S {
	if slow || len(levels) == 1 {
		return levels
	}
	return levels[1:]
}

// packed is random's weights for the best kernels of this CPU, made once.
func packed(tb testing.TB) *Network { tb.Helper(); return made(tb, packedRandom) }

var packedRandom = sync.OnceValues(func() (*Network, error) { return New(random(), nil) })

// made returns what is made once for all tests.
func made[T any](tb testing.TB, once func() (T, error)) T {
	tb.Helper()
	v, err := once()
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// TestForward compares every level, with one thread and several, with the definition of the network in float64. At 96x96
// pixels every layer has tiles that reach beyond its edge. TestGoldenLogits has the full size; with the tag slow this test
// has it too.
func TestForward(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds in plain Go")
	}
	p, rgb := random(), noise(1)
	sizes := []int{96, defaultSize}
	if !slow {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		rgb := rgb[:3*size*size]
		want := exactLogits(newPlan(size), p, rgb)
		spread := 0.0
		for _, w := range want {
			spread = max(spread, math.Abs(w))
		}
		if spread < 0.1 || spread > 100 {
			t.Fatalf("logits of up to %g prove nothing", spread)
		}
		for _, k := range kernel.Sets() {
			n := fp32On(size, p, k)
			for _, threads := range []int{1, 2, 3, 5} {
				if k.Level == 0 && !slow && threads%2 == 0 {
					continue
				}
				r := n.NewRunner(threads)
				var logits [defaultClasses]float32
				for range 2 { // the second must not see what the first left behind
					r.Forward(logits[:], rgb)
					for i, w := range want {
						if d := math.Abs(float64(logits[i]) - w); d > 2e-4*spread {
							t.Fatalf("%s, %d pixels, %d threads: logit %d = %g, want %g", k.Level, size, threads, i, logits[i], w)
						}
					}
				}
				r.Close()
			}
		}
	}
}

// TestJoin has runners and the one joined from them take turns, in both precisions: none may be affected by what another left
// in their shared memory, and all must answer like a runner with its own memory.
func TestJoin(t *testing.T) {
	t.Parallel()
	for _, n := range []*Network{packed(t), packed8(t)} {
		// A first runner with two threads has more than one share to give.
		runners := []*Runner{n.NewRunner(2), n.NewRunner(1), n.NewRunner(1)}
		joined := n.Join(runners)
		all := append(slices.Clone(runners), joined)
		for seed := range uint64(2) {
			rgb := noise(seed)
			own := n.NewRunner(1)
			var want, got [defaultClasses]float32
			own.Forward(want[:], rgb)
			own.Close()
			for i, r := range append(all, joined) {
				if r.Forward(got[:], rgb); got != want {
					t.Errorf("%s, picture %d: logits of runner %d differ from those of one by itself", n.Precision(), seed, i)
				}
			}
		}
		for _, r := range all {
			r.Close()
		}
	}
}

// TestLevelsAgree compares the levels in assembly with each other, which is quick enough for an emulator. TestForward
// compares them with the definition.
func TestLevelsAgree(t *testing.T) {
	t.Parallel()
	p, rgb := random(), noise(7)
	var want [defaultClasses]float32
	for i, k := range kernel.Sets()[1:] {
		r := fp32On(defaultSize, p, k).NewRunner(1)
		var got [defaultClasses]float32
		r.Forward(got[:], rgb)
		r.Close()
		if i == 0 {
			want = got
		}
		spread := max(slices.Max(want[:]), -slices.Min(want[:]))
		for class, g := range got {
			if d := float64(max(g-want[class], want[class]-g)); d > 4e-4*float64(spread) {
				t.Fatalf("%s: logit %d = %g, want %g", k.Level, class, g, want[class])
			}
		}
		t.Logf("%s: logits of up to %g", k.Level, spread)
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	n := packed(t)
	r := n.NewRunner(2)
	defer r.Close()
	rgb := noise(1)
	var logits [defaultClasses]float32
	if allocs := testing.AllocsPerRun(5, func() { r.Forward(logits[:], rgb) }); allocs != 0 {
		t.Errorf("Forward allocates %v times", allocs)
	}
}

func TestProfileNamesEveryLayer(t *testing.T) {
	t.Parallel()
	n := packed(t)
	r := n.NewRunner(1)
	defer r.Close()
	var logits [defaultClasses]float32
	times, layers := r.Profile(logits[:], noise(1)), n.Layers()
	if len(times) != len(layers) {
		t.Fatalf("%d times for %d layers", len(times), len(layers))
	}
	macs := 0
	for i, l := range layers {
		macs += l.MACs
		if l.Name == "" || times[i] <= 0 {
			t.Errorf("layer %d: %+v took %s", i, l, times[i])
		}
	}
	if macs != 1_814_073_344 {
		t.Errorf("%d multiplications, want ResNet-18's 1 814 073 344", macs)
	}
}

// asSet returns parameters as the content of a weight file.
func asSet(p *Params) *weights.Set {
	set := &weights.Set{Spec: p.spec, Tensors: map[string]tensor.Tensor{}}
	p.top.store(set.Tensors)
	for _, s := range resnet18.operations {
		c := p.convs[s.name]
		set.Tensors[s.name+".weight"] = tensor.Tensor{Shape: []int{s.out, s.in, s.kernel, s.kernel}, Data: c.weight}
		set.Tensors[s.name+".bias"] = tensor.Tensor{Shape: []int{s.out}, Data: c.bias}
	}
	return set
}

// withNorms is asSet with batch norm after every convolution.
func withNorms(p *Params) *weights.Set {
	set := asSet(p)
	for _, o := range resnet18.operations {
		unfold(set, o.shape)
	}
	return set
}

// unfold replaces one folded convolution by an equal one with batch norm.
func unfold(set *weights.Set, s shape) {
	bias := set.Tensors[s.name+".bias"].Data
	delete(set.Tensors, s.name+".bias")
	gamma, beta, mean, variance := tensor.New(s.out), tensor.New(s.out), tensor.New(s.out), tensor.New(s.out)
	weight := tensor.New(s.out, s.in, s.kernel, s.kernel)
	copy(weight.Data, set.Tensors[s.name+".weight"].Data)
	each := len(weight.Data) / s.out
	for o := range s.out {
		variance.Data[o] = float32(o%7) + 0.5
		gamma.Data[o] = 1.5
		mean.Data[o] = float32(o%3) - 1
		scale := 1.5 / math.Sqrt(float64(variance.Data[o])+1e-5)
		beta.Data[o] = float32(float64(bias[o]) + float64(mean.Data[o])*scale)
		for i := range each {
			weight.Data[o*each+i] = float32(float64(weight.Data[o*each+i]) / scale)
		}
	}
	set.Tensors[s.name+".weight"] = weight
	for name, v := range map[string]tensor.Tensor{"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance} {
		set.Tensors[s.norm+"."+name] = v
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	p := random()
	set := withNorms(p)
	got, err := Fold(set)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range p.convs {
		g := got.convs[name]
		for i, w := range g.folded() {
			if d := math.Abs(float64(w - want.weight[i])); d > 1e-6 {
				t.Fatalf("%s.weight[%d] = %g, want %g", name, i, w, want.weight[i])
			}
		}
		for i := range want.bias {
			if d := math.Abs(float64(g.bias[i] - want.bias[i])); d > 1e-6 {
				t.Fatalf("%s.bias[%d] = %g, want %g", name, i, g.bias[i], want.bias[i])
			}
		}
	}
}

func TestFoldRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(set *weights.Set)
		want  string
	}{
		"missing": {func(set *weights.Set) { delete(set.Tensors, "layer2.0.conv1.weight") },
			"layer2.0.conv1.weight is missing, want one of shape [128 64 3 3]"},
		"other shape": {func(set *weights.Set) { set.Tensors["fc.weight"] = tensor.New(10, 512) },
			"fc.weight has shape [10 512], want [1000 512]"},
		"bottleneck": {func(set *weights.Set) { set.Tensors["layer1.0.conv3.weight"] = tensor.New(256, 64, 1, 1) },
			"layer1.0.conv3.weight does not belong to it"},
		"half a batch norm": {func(set *weights.Set) { delete(set.Tensors, "layer3.1.conv2.bias") },
			"layer3.1.bn2.weight is missing"},
		"not a number": {func(set *weights.Set) {
			bias := tensor.New(defaultClasses)
			bias.Data[7] = float32(math.NaN())
			set.Tensors["fc.bias"] = bias
		},
			"fc.bias holds NaN at element 7"},
		"negative variance": {func(set *weights.Set) {
			unfold(set, resnet18.stem().shape)
			set.Tensors["bn1.running_var"].Data[3] = -1
		}, "bn1.running_var holds -1 at element 3"},
		"empty": {func(set *weights.Set) { clear(set.Tensors) }, "conv1.weight is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := asSet(random())
			test.spoil(set)
			_, err := Fold(set)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Fold: %v, want an error with %q", err, test.want)
			}
		})
	}
}

func BenchmarkForward(b *testing.B) {
	p := random()
	rgb := noise(1)
	for _, k := range kernel.Sets() {
		n := fp32On(defaultSize, p, k)
		for _, threads := range []int{1, 2} {
			b.Run(k.Level.String()+"/"+string(rune('0'+threads)), func(b *testing.B) {
				r := n.NewRunner(threads)
				defer r.Close()
				var logits [defaultClasses]float32
				b.ReportAllocs()
				for b.Loop() {
					r.Forward(logits[:], rgb)
				}
			})
		}
	}
}

// TestPackingIsRepeatable checks that weights packed twice, by however many CPUs in whatever order, are the same network
// to the last bit, and that packing leaves its source alone.
func TestPackingIsRepeatable(t *testing.T) {
	t.Parallel()
	p := random()
	set := withNorms(p)
	folded, err := Fold(set)
	if err != nil {
		t.Fatal(err)
	}
	var first [defaultClasses]float32
	for i, p := range []*Params{folded, folded, folded.Clone()} {
		n, err := New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := n.NewRunner(1)
		var got [defaultClasses]float32
		r.Forward(got[:], noise(4))
		r.Close()
		if i == 0 {
			first = got
		} else if got != first {
			t.Errorf("logits of packing %d differ from the first's", i)
		}
	}
}

// TestPackingTakesNoCopies bounds the memory of a start: beside the packed weights there must be no room for another
// copy of them, or for one of the 47 MB they are made from.
func TestPackingTakesNoCopies(t *testing.T) {
	set := withNorms(random())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := Fold(set)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(p, nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	level, err := cpu.Best()
	if err != nil {
		t.Fatal(err)
	}
	var m Memory
	p.network(level, &packing{memory: &m})
	packed := m.Used
	for _, o := range resnet18.operations {
		if o.in >= 128 {
			packed += 2 << 20 // blocks of large layers are aligned
		}
	}
	const room = 24 << 20 // blocks of small layers, what kernels are transformed in, biases, and so on
	if taken := int(after.TotalAlloc - before.TotalAlloc); taken > packed+room {
		t.Errorf("packing took %d MB of memory, %d MB of it for packed weights", taken>>20, packed>>20)
	}
}

// BenchmarkPack measures what a start computes.
func BenchmarkPack(b *testing.B) {
	q := randomInt8(b)
	set := withNorms(random())
	for name, pack := range map[string]func() error{
		"fold": func() error { _, err := Fold(set); return err },
		"fp32": func() error {
			p, err := Fold(set)
			if err != nil {
				return err
			}
			_, err = New(p, nil)
			return err
		},
		"int8": func() error { _, err := New(q, nil); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := pack(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
