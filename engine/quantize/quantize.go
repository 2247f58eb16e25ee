// Package quantize finds the scales of 8-bit activations: it watches what the fp32 network puts out over real pictures
// and chooses, for each convolution, the range that loses least.
//
// A range that holds the largest value ever seen wastes resolution on values that hardly occur; a smaller one clips
// them. The loss is taken to be the mean squared error of rounding and clipping over the values seen, as in Nagel et
// al., "A White Paper on Neural Network Quantization", 2021, section 3.1.
package quantize

import (
	"errors"
	"fmt"
	"math"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

const (
	bins = 2048 // of a histogram
	// candidates is how many ranges are tried, from the largest value down to a part of it.
	candidates = 160
	smallest   = 0.2
	// clipPenalty makes the error of clipping count more than that of rounding: clipped values are the large ones,
	// which labels hang on. Of 1, 2, 4, 8, 16, 32 and 64 this kept most labels together with most of the best five.
	clipPenalty = 2
)

// histogram counts magnitudes from 0 to its limit; larger ones go to the last bin.
type histogram struct {
	limit  float32
	counts [bins]float64
}

// Calibrate runs an fp32 network over pictures, 224x224 crops, twice: for the ranges, and for what lies in them. It
// calls progress, if not nil, after each picture of either round; an error of progress ends it. The result is what
// resnet.Quantize wants.
func Calibrate(n *resnet.Network, pictures []*[resnet.Pixels]byte, progress func(done, of int) error) (map[string]float32, error) {
	if len(pictures) == 0 {
		return nil, errors.New("calibrate: no pictures")
	}
	if n.Precision() != "fp32" {
		return nil, fmt.Errorf("calibrate: the network computes in %s, want fp32", n.Precision())
	}
	r := n.NewRunner(1)
	defer r.Close()
	done := 0
	each := func(f func(name string, values []float32)) error {
		for _, rgb := range pictures {
			r.Observe(rgb, f)
			done++
			if progress == nil {
				continue
			}
			if err := progress(done, 2*len(pictures)); err != nil {
				return err
			}
		}
		return nil
	}
	seen := map[string]*histogram{}
	for _, name := range resnet.Activations() {
		seen[name] = new(histogram)
	}
	err := each(func(name string, values []float32) {
		h := seen[name]
		for _, v := range values {
			h.limit = max(h.limit, v, -v)
		}
	})
	if err != nil {
		return nil, err
	}
	err = each(func(name string, values []float32) {
		h := seen[name]
		if h.limit == 0 {
			return
		}
		perUnit := bins / h.limit
		for _, v := range values {
			h.counts[min(bins-1, int(max(v, -v)*perUnit))]++
		}
	})
	if err != nil {
		return nil, err
	}
	scales := map[string]float32{}
	for name, h := range seen {
		steps := 255.0
		if resnet.Signed(name) {
			steps = 127
		}
		scales[name] = h.scale(steps)
	}
	return scales, nil
}

// scale is the width of a step, of so many from 0, with the least squared error. Zeros have none at any scale.
func (h *histogram) scale(steps float64) float32 {
	if h.limit == 0 {
		return 1 // nothing ever came out: any scale does
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

// Agreement compares the int8 network's answers with the fp32 network's.
type Agreement struct {
	Pictures int `json:"pictures"`
	Top1     int `json:"top1"` // pictures whose best class is the same
	Top5     int `json:"top5"` // of five classes for each picture, those that are among the other's five
}

// Add counts one picture; a and b are the best classes of either network, best first.
func (g *Agreement) Add(a, b [5]int) {
	g.Pictures++
	if a[0] == b[0] {
		g.Top1++
	}
	for _, x := range a {
		for _, y := range b {
			if x == y {
				g.Top5++
			}
		}
	}
}

// String says it in percent.
func (g Agreement) String() string {
	if g.Pictures == 0 {
		return "no pictures compared"
	}
	n := float64(g.Pictures)
	return fmt.Sprintf("%d pictures: best label equal to fp32's for %.1f %%, best five for %.1f %%",
		g.Pictures, 100*float64(g.Top1)/n, 100*float64(g.Top5)/n/5)
}
