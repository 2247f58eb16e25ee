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
// A weight is its int8 times the scale of its output channel. An activation is its byte times the scale of its tensor;
// zero is byte 0, except behind a downsampling convolution, which no ReLU follows: there it is byte 128. The fully
// connected layer stays in float32.
type Quantized struct {
	convs map[string]conv8 // by torchvision's name
	fc    conv
}

// conv8 is one convolution. The scale of its input is that of the convolution before it.
type conv8 struct {
	weight []int8    // OIHW
	scale  []float32 // of each output channel's weights; of the stem's, for pixels of 0..255
	bias   []float32
	output float32 // scale of its output, after the residual was added
}

// Activations lists the tensors that need a scale for Quantize: each convolution's output under its name, with ReLU and,
// for a block's second, with the residual; of the stem, after pooling.
func Activations() []string {
	var names []string
	for _, s := range convolutions() {
		names = append(names, s.name)
	}
	return names
}

// Signed reports whether an activation can be negative.
func Signed(name string) bool { return signed[name] }

var signed = func() map[string]bool {
	m := map[string]bool{}
	for _, s := range convolutions() {
		m[s.name] = s.kernel == 1
	}
	return m
}()

// Quantize rounds weights to 8 bits, symmetrically, with a scale for each output channel from its largest weight.
// scales are those of the Activations.
func Quantize(p *Params, scales map[string]float32) (*Quantized, error) {
	q := &Quantized{convs: map[string]conv8{}, fc: p.fc}
	for _, s := range convolutions() {
		scale := scales[s.name]
		if !(scale > 0) || math.IsInf(float64(scale), 0) {
			return nil, fmt.Errorf("quantize: scale of %s is %v, want a positive number", s.name, scale)
		}
		c := p.convs[s.name]
		weight := c.weight
		if s.name == stem.name {
			weight = forPixels(weight)
		}
		c8 := conv8{weight: make([]int8, len(weight)), scale: make([]float32, s.out), bias: c.bias, output: scale}
		each := len(weight) / s.out
		for o := range s.out {
			c8.scale[o] = roundChannel(c8.weight[o*each:][:each], weight[o*each:][:each])
		}
		q.convs[s.name] = c8
	}
	return q, nil
}

// roundChannel rounds one channel's weights to -127..127 and returns their scale.
func roundChannel(to []int8, from []float32) float32 {
	largest := float32(0)
	for _, w := range from {
		largest = max(largest, w, -w)
	}
	if largest == 0 {
		return 1
	}
	scale := largest / 127
	for i, w := range from {
		to[i] = int8(math.RoundToEven(float64(w / scale)))
	}
	return scale
}

// forPixels turns the stem's weights for normalised input into weights for pixels of 0..255; what the mean contributes
// goes into the bias, where it depends on how many taps are inside the picture.
func forPixels(weight []float32) []float32 {
	w := slices.Clone(weight)
	for i := range w {
		colour := i / (stem.kernel * stem.kernel) % stem.in
		w[i] = float32(float64(w[i]) / (255 * deviation[colour]))
	}
	return w
}

// The names of a quantized file's tensors, behind a convolution's.
const (
	suffixWeight = ".weight"       // int8, OIHW
	suffixScale  = ".weight_scale" // one for each output channel
	suffixBias   = ".bias"
	suffixOutput = ".output_scale"
)

// Set lays quantized weights out for a file.
func (q *Quantized) Set() *weights.Set {
	set := &weights.Set{
		Tensors:  map[string]tensor.Tensor{},
		Int8:     map[string]tensor.Of[int8]{},
		Metadata: map[string]string{weights.MetaPrecision: "int8"},
	}
	for _, s := range convolutions() {
		c := q.convs[s.name]
		set.Int8[s.name+suffixWeight] = tensor.Of[int8]{Shape: []int{s.out, s.in, s.kernel, s.kernel}, Data: c.weight}
		set.Tensors[s.name+suffixScale] = tensor.Tensor{Shape: []int{s.out}, Data: c.scale}
		set.Tensors[s.name+suffixBias] = tensor.Tensor{Shape: []int{s.out}, Data: c.bias}
		set.Tensors[s.name+suffixOutput] = tensor.Tensor{Shape: []int{1}, Data: []float32{c.output}}
	}
	set.Tensors["fc.weight"] = tensor.Tensor{Shape: []int{Classes, features}, Data: q.fc.weight}
	set.Tensors["fc.bias"] = tensor.Tensor{Shape: []int{Classes}, Data: q.fc.bias}
	return set
}

// LoadQuantized checks that a set is what Quantized.Set lays out, every tensor in its shape. The result shares the
// set's memory.
func LoadQuantized(set *weights.Set) (*Quantized, error) {
	if set.Int8 == nil {
		return nil, errors.New("not quantized weights: the file has none in 8 bits")
	}
	q := &Quantized{convs: map[string]conv8{}}
	r := reader{set: set, used: map[string]bool{}}
	for _, s := range convolutions() {
		w := set.Int8[s.name+suffixWeight]
		if err := w.Check(s.out, s.in, s.kernel, s.kernel); err != nil && r.err == nil {
			r.err = fmt.Errorf("tensor %s%s %w", s.name, suffixWeight, err)
		}
		c := conv8{weight: w.Data, scale: r.read(s.name+suffixScale, s.out), bias: r.read(s.name+suffixBias, s.out),
			output: r.read(s.name+suffixOutput, 1)[0]}
		if c.output <= 0 && r.err == nil {
			r.err = fmt.Errorf("tensor %s%s holds %v, want a positive scale", s.name, suffixOutput, c.output)
		}
		q.convs[s.name] = c
	}
	q.fc = conv{weight: r.read("fc.weight", Classes, features), bias: r.read("fc.bias", Classes)}
	if r.err == nil {
		r.refuseOthers()
	}
	if r.err != nil {
		return nil, fmt.Errorf("not the quantized weights of a ResNet-18 with %d classes: %w", Classes, r.err)
	}
	return q, nil
}
