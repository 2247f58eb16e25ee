// Package quantize finds the scales of 8-bit activations: it observes the outputs of the fp32 network on real pictures
// and chooses, for each convolution, the range with the least error.
//
// A range up to the largest value seen wastes resolution on values that hardly occur; a smaller one clips them. The
// range with the least sum of both errors is a first guess (Nagel et al., "A White Paper on Neural Network
// Quantization", 2021, section 3.1). For the stem it is much too wide, probably because its rounding errors are equal
// in all pixels of a plain background and so do not average out. There, ranges around the guess are tried on the
// network itself, and the one that changes the logits least is chosen.
package quantize

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

const (
	bins = 2048 // of a histogram
	// candidates is how many ranges are compared, from the largest value down to a fraction of it.
	candidates = 160
	smallest   = 0.2
	// clipPenalty weighs the error of clipping against that of rounding: clipped values are the large ones, on which
	// labels depend.
	clipPenalty = 2
	// trials is how many pictures the stem's ranges are tried on.
	trials = 16
	stem   = "conv1"
)

// around lists the stem's ranges that are tried, as fractions of the guess.
var around = []float32{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2}

// histogram counts magnitudes from 0 to its limit; larger ones go to the last bin.
type histogram struct {
	limit  float32
	counts [bins]float64
}

func (h *histogram) count(values []float32) {
	if h.limit == 0 {
		return
	}
	perUnit := bins / h.limit
	for _, v := range values {
		h.counts[min(bins-1, int(max(v, -v)*perUnit))]++
	}
}

// calibrator runs the network over the pictures.
type calibrator struct {
	runner   *resnet.Runner
	classes  int
	pictures [][]byte
	done, of int // passes
	progress func(done, of int) error
}

// Calibrate runs an fp32 network on pictures, inputs of it, three times: for the largest values, for their
// distribution, and for the effect of rounding on means. In between it tries ranges on a few of them, some 1600 passes. It
// calls progress, if not nil, after each pass; an error of progress ends it. The same pictures give the same result.
func Calibrate(n *resnet.Network, pictures [][]byte, progress func(done, of int) error) (*resnet.Calibration, error) {
	if len(pictures) == 0 {
		return nil, errors.New("calibrate: no pictures")
	}
	if n.Precision() != "fp32" {
		return nil, fmt.Errorf("calibrate: the network computes in %s, want fp32", n.Precision())
	}
	few := min(trials, len(pictures))
	c := &calibrator{
		runner: n.NewRunner(1), classes: n.Classes(), pictures: pictures, progress: progress,
		of: 3*len(pictures) + few*(1+len(around)),
	}
	defer c.runner.Close()
	scale, err := c.guess()
	if err == nil {
		err = c.try(scale, few)
	}
	if err != nil {
		return nil, err
	}
	return c.means(scale)
}

// pass runs one picture, passes its activations to f, and returns its logits, or the features of a network without.
func (c *calibrator) pass(rgb []byte, f func(name string, values []float32)) ([]float32, error) {
	logits := make([]float32, c.classes)
	c.runner.Observe(logits, rgb, f)
	if c.classes == 0 {
		logits = slices.Clone(c.runner.Features())
	}
	c.done++
	if c.progress == nil {
		return logits, nil
	}
	return logits, c.progress(c.done, c.of)
}

// all runs a pass for each picture.
func (c *calibrator) all(f func(name string, values []float32)) error {
	for _, rgb := range c.pictures {
		if _, err := c.pass(rgb, f); err != nil {
			return err
		}
	}
	return nil
}

// guess returns the scales with the least squared error of the activations themselves.
func (c *calibrator) guess() (map[string]float32, error) {
	seen := map[string]*histogram{}
	for _, name := range resnet.Activations() {
		seen[name] = new(histogram)
	}
	err := c.all(func(name string, values []float32) {
		h := seen[name]
		for _, v := range values {
			h.limit = max(h.limit, v, -v)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := c.all(func(name string, values []float32) { seen[name].count(values) }); err != nil {
		return nil, err
	}
	scale := map[string]float32{}
	for name, h := range seen {
		steps := 255.0
		if resnet.Signed(name) {
			steps = 127
		}
		scale[name] = h.scale(steps)
	}
	return scale, nil
}

// try replaces the stem's scale by the one near it that changes the logits of a few pictures least when nothing else is
// rounded.
func (c *calibrator) try(scale map[string]float32, few int) error {
	loss := make([]float64, len(around))
	for i := range few {
		rgb := c.pictures[i*len(c.pictures)/few]
		exact, err := c.pass(rgb, func(string, []float32) {})
		if err != nil {
			return err
		}
		for j, part := range around {
			rough, err := c.pass(rgb, func(name string, values []float32) {
				if name == stem {
					resnet.Round(name, values, part*scale[stem])
				}
			})
			if err != nil {
				return err
			}
			loss[j] += distance(rough, exact)
		}
	}
	scale[stem] *= around[slices.Index(loss, slices.Min(loss))]
	return nil
}

// distance returns the squared distance.
func distance(a, b []float32) (sum float64) {
	for i := range a {
		d := float64(a[i] - b[i])
		sum += d * d
	}
	return sum
}

// means computes the means of all channels, exact and rounded.
func (c *calibrator) means(scale map[string]float32) (*resnet.Calibration, error) {
	result := &resnet.Calibration{Scale: scale, Exact: map[string][]float64{}, Rounded: map[string][]float64{}}
	pixels := map[string]int{}
	for _, name := range resnet.Activations() {
		result.Exact[name] = make([]float64, resnet.Channels(name))
		result.Rounded[name] = make([]float64, resnet.Channels(name))
	}
	var rounded []float32
	err := c.all(func(name string, values []float32) {
		add(result.Exact[name], values)
		rounded = append(rounded[:0], values...)
		resnet.Round(name, rounded, scale[name])
		add(result.Rounded[name], rounded)
		pixels[name] += len(values) / resnet.Channels(name)
	})
	if err != nil {
		return nil, err
	}
	for _, name := range resnet.Activations() {
		for channel := range result.Exact[name] {
			result.Exact[name][channel] /= float64(pixels[name])
			result.Rounded[name][channel] /= float64(pixels[name])
		}
	}
	return result, nil
}

// add adds pixels, with channels last, to the sums of the channels.
func add(sums []float64, values []float32) {
	for ; len(values) > 0; values = values[len(sums):] {
		for channel, v := range values[:len(sums)] {
			sums[channel] += float64(v)
		}
	}
}

// scale returns the step width with the least squared error, for the given number of steps from 0. Zeros have no error
// at any scale.
func (h *histogram) scale(steps float64) float32 {
	if h.limit == 0 {
		return 1 // all values are zero: any scale is right
	}
	best, least := 0.0, math.Inf(1)
	for i := range candidates {
		limit := float64(h.limit) * (1 - (1-smallest)*float64(i)/candidates)
		step := limit / steps
		loss := 0.0
		for bin, count := range h.counts {
			if count == 0 || bin == 0 {
				continue
			}
			v := (float64(bin) + 0.5) * float64(h.limit) / bins
			if v > limit {
				loss += clipPenalty * count * (v - limit) * (v - limit)
			} else {
				loss += count * step * step / 12 // rounding errors are spread evenly
			}
		}
		if loss < least {
			best, least = step, loss
		}
	}
	return float32(best)
}

// Agreement counts equal answers of the int8 and the fp32 network. Set Classes, then Add pictures.
type Agreement struct {
	Classes  int     // of the networks, 0 if they give features only
	Pictures int     // compared
	Top1     int     // pictures whose best class is the same or, with one output, that give the same answer: yes or no
	Top5     int     // of the best five classes of each picture, those that are among the other's five
	Cosine   float64 // sum over the pictures of the cosine between the outputs
}

// most is how many of the best classes are compared. With no more classes than that, they are always the same.
const most = 5

// Add compares the outputs for one picture: logits, or the features of networks without classes.
func (g *Agreement) Add(rounded, exact []float32) {
	g.Pictures++
	g.Cosine += cosine(rounded, exact)
	if g.Classes == 0 {
		return
	}
	if imagenet.Verdict(rounded) == imagenet.Verdict(exact) {
		g.Top1++
	}
	best := imagenet.Top(exact, make([]int, most))
	for _, class := range imagenet.Top(rounded, make([]int, most)) {
		if slices.Contains(best, class) {
			g.Top5++
		}
	}
}

// cosine returns that of the angle between two vectors, 1 if they are equal.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if slices.Equal(a, b) {
		return 1
	}
	return ab / math.Sqrt(aa*bb)
}

// String returns the shares in percent, or the mean cosine of features.
func (g Agreement) String() string {
	percent := func(count, of int) float64 { return 100 * float64(count) / float64(of) }
	switch {
	case g.Pictures == 0:
		return "no pictures compared"
	case g.Classes == 0:
		return fmt.Sprintf("%d pictures: cosine between features and fp32's %.4f", g.Pictures, g.Cosine/float64(g.Pictures))
	case g.Classes == 1:
		return fmt.Sprintf("%d pictures: sign of the output equal to fp32's for %.1f %%", g.Pictures, percent(g.Top1, g.Pictures))
	case g.Classes <= most:
		return fmt.Sprintf("%d pictures: best label equal to fp32's for %.1f %%", g.Pictures, percent(g.Top1, g.Pictures))
	}
	return fmt.Sprintf("%d pictures: best label equal to fp32's for %.1f %%, best five for %.1f %%",
		g.Pictures, percent(g.Top1, g.Pictures), percent(g.Top5, most*g.Pictures))
}
