// Package novelty tells pictures that are like none of a known set by the features that a network has of them. Features
// come in, a distance comes out; package engine compares it with the model's threshold, which package teach chose.
//
// The distance is the mean of the cosine distances to the nearest known pictures (k nearest neighbors). Unlike the
// probabilities of a model's classes, which are shares of a whole and high for some class of any picture, it grows with every
// way in which a picture differs.
package novelty

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// Known is the features of known pictures. It is read-only and safe for concurrent use.
type Known struct {
	rows      []float32 // n rows of spec.Features numbers, of length 1
	neighbors int
}

// New keeps rows of [spec.Features] features, of any length but 0. Of a picture's distances to them, the given number
// of smallest counts, at least 1; all if there are fewer rows. t is not kept.
func New(t tensor.Tensor, neighbors int) (*Known, error) {
	if len(t.Shape) != 2 || t.Shape[1] != spec.Features || t.Shape[0] < 1 || t.Shape[0] > spec.MaxKnown {
		return nil, fmt.Errorf("features of known pictures have shape %v, want [n %d] with n from 1 to %d", t.Shape, spec.Features, spec.MaxKnown)
	}
	if neighbors < 1 {
		return nil, fmt.Errorf("%d neighbors, want at least 1", neighbors)
	}
	k := &Known{rows: slices.Clone(t.Data), neighbors: neighbors}
	for i := range k.Len() {
		if !normalize(k.row(i)) {
			return nil, fmt.Errorf("features of known picture %d are not numbers or all 0", i)
		}
	}
	return k, nil
}

// Len is the number of known pictures.
func (k *Known) Len() int { return len(k.rows) / spec.Features }

func (k *Known) row(i int) []float32 { return k.rows[i*spec.Features:][:spec.Features] }

// Distance is from 0, for features in the direction of known ones, to 2. That of features that are all 0, which have no
// direction, is 1.
func (k *Known) Distance(features []float32) float32 {
	var room [spec.Features]float32
	x := room[:copy(room[:], features)]
	if !normalize(x) {
		return 1
	}
	return k.distance(x, -1)
}

// Others is the distance of each known picture to the others. A single picture has distance 0.
func (k *Known) Others() []float32 {
	distances := make([]float32, k.Len())
	for i := range distances {
		distances[i] = k.distance(k.row(i), i)
	}
	return distances
}

// distance is the mean distance of x, of length 1, to the nearest rows but one.
func (k *Known) distance(x []float32, except int) float32 {
	var room [16]float32
	nearest := room[:0] // largest products, in falling order
	for i := range k.Len() {
		if i == except {
			continue
		}
		p := dot(x, k.row(i))
		if len(nearest) == k.neighbors {
			if p <= nearest[len(nearest)-1] {
				continue
			}
			nearest = nearest[:len(nearest)-1]
		}
		at := len(nearest)
		for at > 0 && nearest[at-1] < p {
			at--
		}
		nearest = slices.Insert(nearest, at, p)
	}
	if len(nearest) == 0 {
		return 0
	}
	var sum float32
	for _, p := range nearest {
		sum += p
	}
	return min(2, max(0, 1-sum/float32(len(nearest))))
}

// Threshold is the smallest of the distances that at most the given share of them exceeds, from 0 to less than 1: above it
// pictures are unknown. Without distances it is 2, above which none is.
func Threshold(distances []float32, share float64) float32 {
	if len(distances) == 0 {
		return 2
	}
	sorted := slices.Sorted(slices.Values(distances))
	return sorted[len(sorted)-1-int(share*float64(len(sorted)))]
}

// normalize scales x to length 1. It reports whether that is possible.
func normalize(x []float32) bool {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return false
	}
	scale := float32(1 / math.Sqrt(sum))
	for i := range x {
		x[i] *= scale
	}
	return true
}

// dot is the scalar product of vectors of spec.Features numbers, a multiple of four. It has four sums, so that an addition does
// not wait for the one before it.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	return s0 + s1 + s2 + s3
}
