package spec

import (
	"math"
	"slices"
)

// largestUnit is above all means and deviations of pixels from 0 to 1 (0.48 and 0.23, say) and below those of bytes (123 and 58).
const largestUnit = 5

// Units returns a mean and a deviation of red, green and blue in units in which pixels are 0 to 1. Files give them in these or,
// if one of the six numbers is larger than 5, in units of bytes, 0 to 255. Both are in the same units: a mean of 123 with a
// deviation of 1 is of bytes.
func Units(mean, deviation [3]float64) (unitMean, unitDeviation [3]float64) {
	large := func(v float64) bool { return math.Abs(v) > largestUnit }
	if slices.ContainsFunc(mean[:], large) || slices.ContainsFunc(deviation[:], large) {
		return OfBytes(mean), OfBytes(deviation)
	}
	return mean, deviation
}

// OfBytes returns values in units of bytes, 0 to 255, in units in which pixels are 0 to 1.
func OfBytes(v [3]float64) [3]float64 { return [3]float64{v[0] / 255, v[1] / 255, v[2] / 255} }
