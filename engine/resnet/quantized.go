package resnet

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// Quantized is ResNet-18 with 8-bit weights and the scales of 8-bit activations. It is read-only and safe for
// concurrent use.
//
// The value of a weight is its int8 times the scale of its output channel, that of an activation its byte times the
// scale of its tensor. Zero is byte 0, except after a downsampling convolution, which no ReLU follows: there it is byte
// 128. The head stays in float32.
type Quantized struct {
	convs map[string]conv8 // by torchvision's name
	top
}

// conv8 is one convolution. The scale of its input is that of the convolution before it.
type conv8 struct {
	weight []int8    // OIHW
	scale  []float32 // of each output channel's weights; of the stem's, for pixels of 0..255
	bias   []float32
	output float32 // scale of its output, with the residual
}

// Activations lists the tensors that need a scale for Quantize. Each has the name of the convolution that outputs it,
// and includes ReLU, the residual of a block's second convolution, and the stem's pooling.
func Activations() []string {
	var names []string
	for _, s := range resnet18.operations {
		names = append(names, s.name)
	}
	return names
}

// Signed reports whether an activation, by its name, can be negative.
func Signed(name string) bool { return byName[name].signed() }

// Channels returns the number of channels of an activation.
func Channels(name string) int { return byName[name].out }

var byName = func() map[string]operation {
	m := map[string]operation{}
	for _, o := range resnet18.operations {
		m[o.name] = o
	}
	return m
}()

// Calibration describes the activations of real pictures, by the names of Activations.
type Calibration struct {
	Scale map[string]float32 // width of one step of the tensor's bytes
	// Exact and Rounded are the means of each channel, before and after rounding to such steps. If both are nil, biases
	// are not corrected.
	Exact, Rounded map[string][]float64
}

// check returns an error if a calibration is incomplete.
func (c *Calibration) check() error {
	for _, s := range resnet18.operations {
		if scale := c.Scale[s.name]; !(scale > 0) || math.IsInf(float64(scale), 0) {
			return fmt.Errorf("scale of %s is %v, want a positive number", s.name, scale)
		}
		if c.Exact == nil && c.Rounded == nil {
			continue
		}
		if exact, rounded := len(c.Exact[s.name]), len(c.Rounded[s.name]); exact != s.out || rounded != s.out {
			return fmt.Errorf("%d and %d means of %s, want %d", exact, rounded, s.name, s.out)
		}
	}
	return nil
}

// Round rounds the activations of a name to steps of the given width, within the range of their bytes.
func Round(name string, values []float32, scale float32) {
	low, high := float32(0), float32(255)
	if Signed(name) {
		low, high = -128, 127
	}
	for i, v := range values {
		values[i] = scale * float32(math.RoundToEven(float64(min(high, max(low, v/scale)))))
	}
}

// Quantize rounds weights to 8 bits, symmetrically, with a scale for each output channel from its largest weight, and
// corrects the biases for the effect of rounding on the mean output. The result may share p's memory.
func Quantize(p *Params, c *Calibration) (*Quantized, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	q := &Quantized{convs: map[string]conv8{}, top: p.top}
	for _, s := range resnet18.operations {
		from := p.convs[s.name]
		weight := from.folded()
		if s.input == "" {
			weight = forPixels(weight, s.shape, p.spec.Preprocess.Deviation)
		}
		to := conv8{weight: make([]int8, len(weight)), scale: make([]float32, s.out), bias: slices.Clone(from.bias), output: c.Scale[s.name]}
		each := len(weight) / s.out
		for o := range s.out {
			to.scale[o] = roundChannel(to.weight[o*each:][:each], weight[o*each:][:each], s.kernel*s.kernel)
		}
		q.convs[s.name] = to
	}
	if c.Exact != nil {
		q.correctBiases(p, c)
	}
	return q, nil
}

// correctBiases subtracts from each bias what rounding adds to the mean of the convolution's output: for each weight w
// of an input channel with mean m, rounded to w' and m', that is w'm' - wm, and m' - m for a residual (Nagel et al.,
// "Data-Free Quantization through Weight Equalization and Bias Correction", 2019, section 4.2, with means of real
// pictures). This error is the same in every pixel, so it would add up through the network instead of averaging out.
// The border, where some taps read zeros, is neglected. The stem's input is not rounded.
func (q *Quantized) correctBiases(p *Params, c *Calibration) {
	correct := func(s shape, input string) {
		exact, rounded := c.Exact[input], c.Rounded[input]
		weight, to := p.convs[s.name].folded(), q.convs[s.name]
		taps := s.kernel * s.kernel
		for o := range s.out {
			added := 0.0
			for i := o * s.in * taps; i < (o+1)*s.in*taps; i++ {
				channel := i / taps % s.in
				added += float64(to.weight[i])*float64(to.scale[o])*rounded[channel] - float64(weight[i])*exact[channel]
			}
			to.bias[o] -= float32(added)
		}
	}
	for _, o := range resnet18.operations[1:] {
		correct(o.shape, o.input)
		if o.residual == "" {
			continue
		}
		for channel := range o.out {
			q.convs[o.name].bias[channel] -= float32(c.Rounded[o.residual][channel] - c.Exact[o.residual][channel])
		}
	}
}

// roundChannel rounds the weights of one output channel to -127..127 and returns their scale. The taps of one input
// channel read neighboring pixels, which are similar, so the sum of their rounding errors matters more than each error;
// to a lesser degree the same is true of a whole output channel. So some weights are rounded the other way, those that
// lose least by it, until neither sum is off by more than a half (Guo et al., "SQuant: On-the-Fly Data-Free
// Quantization via Diagonal Hessian Approximation", 2022, section 3).
func roundChannel(to []int8, from []float32, taps int) float32 {
	largest := float32(0)
	for _, w := range from {
		largest = max(largest, w, -w)
	}
	if largest == 0 {
		return 1
	}
	scale := largest / 127
	exact := make([]float64, len(from))
	for i, w := range from {
		exact[i] = float64(w) / float64(scale)
		to[i] = int8(math.RoundToEven(exact[i]))
	}
	sum := 0.0
	for at := 0; at < len(to); at += taps {
		sum += balance(to[at:at+taps], exact[at:at+taps], taps)
	}
	// No more flips than there are kernels, so that few of their sums are off by more than one and a half.
	flips := int(math.Abs(math.RoundToEven(sum)))
	balance(to, exact, min(flips, len(to)/taps))
	return scale
}

// balance rounds up to limit weights the other way until the sum of errors is at most a half in magnitude, and returns
// that sum.
func balance(to []int8, exact []float64, limit int) float64 {
	sum := 0.0
	for i := range to {
		sum += exact[i] - float64(to[i])
	}
	for ; limit > 0 && math.Abs(sum) > 0.5; limit-- {
		step := int8(math.Copysign(1, sum))
		best, gain := -1, math.Inf(-1)
		for i := range to {
			if g := (exact[i] - float64(to[i])) * float64(step); g > gain && to[i]+step >= -127 && int(to[i])+int(step) <= 127 {
				best, gain = i, g
			}
		}
		if best < 0 {
			break
		}
		to[best] += step
		sum -= float64(step)
	}
	return sum
}

// forPixels turns the stem's weights for normalized input into weights for pixels of 0..255. The contribution of the
// mean goes into the bias, where it depends on how many taps are inside the picture.
func forPixels(weight []float32, stem shape, deviation [3]float64) []float32 {
	w := slices.Clone(weight)
	for i := range w {
		color := i / (stem.kernel * stem.kernel) % stem.in
		w[i] = float32(float64(w[i]) / (255 * deviation[color]))
	}
	return w
}

// The suffixes of a quantized file's tensors, after the convolution's name.
const (
	suffixWeight = ".weight"       // int8, OIHW
	suffixScale  = ".weight_scale" // one for each output channel
	suffixBias   = ".bias"
	suffixOutput = ".output_scale"
)

// Set returns quantized weights as the content of a file.
func (q *Quantized) Set() *weights.Set {
	set := &weights.Set{
		Tensors:  map[string]tensor.Tensor{},
		Int8:     map[string]tensor.Of[int8]{},
		Spec:     q.spec,
		Metadata: map[string]string{weights.MetaPrecision: "int8"},
	}
	for _, s := range resnet18.operations {
		c := q.convs[s.name]
		set.Int8[s.name+suffixWeight] = tensor.Of[int8]{Shape: []int{s.out, s.in, s.kernel, s.kernel}, Data: c.weight}
		set.Tensors[s.name+suffixScale] = tensor.Tensor{Shape: []int{s.out}, Data: c.scale}
		set.Tensors[s.name+suffixBias] = tensor.Tensor{Shape: []int{s.out}, Data: c.bias}
		set.Tensors[s.name+suffixOutput] = tensor.Tensor{Shape: []int{1}, Data: []float32{c.output}}
	}
	q.top.store(set.Tensors)
	return set
}

// LoadQuantized is the inverse of Quantized.Set. It checks names and shapes of all tensors. The result shares the set's
// memory.
func LoadQuantized(set *weights.Set) (*Quantized, error) {
	if len(set.Int8) == 0 {
		return nil, errors.New("not quantized weights: the file has no 8-bit tensors")
	}
	r, err := newReader(set)
	if err != nil {
		return nil, err
	}
	q := &Quantized{convs: map[string]conv8{}}
	for _, s := range resnet18.operations {
		w := set.Int8[s.name+suffixWeight]
		if err := w.Check(s.out, s.in, s.kernel, s.kernel); err != nil {
			r.fail(fmt.Errorf("tensor %s%s %w", s.name, suffixWeight, err))
		}
		c := conv8{weight: w.Data, scale: r.read(s.name+suffixScale, s.out), bias: r.read(s.name+suffixBias, s.out),
			output: r.read(s.name+suffixOutput, 1)[0]}
		if c.output <= 0 {
			r.fail(fmt.Errorf("tensor %s%s holds %v, want a positive scale", s.name, suffixOutput, c.output))
		}
		q.convs[s.name] = c
	}
	q.top = r.top()
	if r.err == nil {
		r.refuseOthers()
	}
	if r.err != nil {
		return nil, fmt.Errorf("not the quantized weights of a ResNet-18 with %d classes: %w", set.Spec.Head.Classes, r.err)
	}
	return q, nil
}
