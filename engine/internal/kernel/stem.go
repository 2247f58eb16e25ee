package kernel

import "fmt"

// The stem is a 7x7 convolution of stride 2 on three colors. Along a row it is the sum of two convolutions of stride 1:
// of four taps on the pixels of even places, and of three on those of odd ones. A minimal filtering algorithm computes
// four outputs of the first with seven products, F(4,4), and of the second with six, F(4,3); both interpolate at 0, 1, -1,
// 2, -2 and infinity, so that there the products of both can be summed before they are transformed back, as those of the
// seven rows and three colors are. F(4,4) has one point more, 1/2. In all a tile of four outputs takes 6 x 42 + 21
// products for each output channel instead of 588.
//
// The method is Winograd's ("Arithmetic Complexity of Computations", 1980): with q_p(z) for F(4,3)'s combination of six
// values at point p (minimal's bt) and M's for infinity, F(4,4) combines seven values e as q_p(e1..e6) - q_p(e0..e5)/2,
// and as q_infinity(e0..e5) at its own point.
//
// See docs/decisions/0017-the-stem-by-rows.md.
const (
	// StemOutputs is the number of neighboring outputs of a tile, StemPositions that of products they are computed from.
	StemOutputs, StemPositions = 4, 7 //nolint:revive // one comment for both
	// StemDeep is the number of values of an input row in a product at all positions but the last, StemDeepLast at the
	// last.
	StemDeep, StemDeepLast = 6, 3 //nolint:revive // as above
	// StemPixels is the pixels of a row that a tile reads; the next tile's begin 2*StemOutputs further.
	StemPixels = 14
	// StemSlack is the number of floats that are read after a row, and ignored.
	StemSlack = 2

	stemPoint    = 0.5 // of F(4,4) alone
	stemChannels = 64
)

// StemInput transforms a row of normalized pixels for a number of tiles. Of tile t, position p is v[p*vs+t*ts:][:StemDeep] - for
// even places three colors, then for odd ones - and the last position last[t*ls:][:StemDeepLast].
func (s *Set) StemInput(v []float32, vs, ts int, last []float32, ls int, x []float32, tiles int) {
	end := tiles - 1
	_, _ = v[(StemPositions-2)*vs+end*ts+StemDeep-1], last[end*ls+StemDeepLast-1]
	_ = x[3*(2*StemOutputs*end+StemPixels)+StemSlack-1]
	s.stemInput(v, vs, ts, last, ls, x, tiles)
}

// StemOutput transforms the sums of a number of tiles back, adds the bias and applies ReLU: m[p*ms+t*64+c] at position p of tile t
// gives y[(StemOutputs*t+i)*64+c].
func (s *Set) StemOutput(y, m []float32, ms int, bias []float32, tiles int) {
	if tiles < 1 {
		panic(fmt.Sprintf("kernel: %d tiles of the stem", tiles))
	}
	_, _, _ = y[tiles*StemOutputs*stemChannels-1], m[(StemPositions-1)*ms+tiles*stemChannels-1], bias[stemChannels-1]
	s.stemOutput(y, m, ms, bias, tiles)
}

// StemWeights transforms one row of seven taps, times a factor, for one color: for even places u[p], for odd ones
// u[StemPositions+p] at position p, where the last of these is unused. It computes in float64, because it runs once.
func StemWeights(taps []float32, factor float64) (u [2 * StemPositions]float64) {
	var w [7]float64
	for i := range w {
		w[i] = float64(taps[i]) * factor
	}
	return stemWeights(w)
}

// stemWeights is StemWeights of taps in float64.
func stemWeights(w [7]float64) (u [2 * StemPositions]float64) {
	points := [...]float64{0, 1, -1, 2, -2}
	for i, p := range points {
		scale := 1.0
		for _, q := range points {
			if q != p {
				scale *= p - q
			}
		}
		u[i] = (w[0] + p*(w[2]+p*(w[4]+p*w[6]))) / (scale * (p - stemPoint))
		u[StemPositions+i] = (w[1] + p*(w[3]+p*w[5])) / scale
	}
	u[5], u[StemPositions+5] = w[6], w[5]
	const p = stemPoint
	u[6] = (w[0] + p*(w[2]+p*(w[4]+p*w[6]))) / (p * (p*p - 1) * (p*p - 4))
	return u
}

// stemBack transforms a tile's seven sums back.
func stemBack(d [StemPositions]float32) [StemOutputs]float32 {
	sum1, difference1, sum2, difference2 := d[1]+d[2], d[1]-d[2], d[3]+d[4], d[3]-d[4]
	return [StemOutputs]float32{
		d[0] + sum1 + sum2 + d[6],
		difference1 + 2*difference2 + stemPoint*d[6],
		sum1 + 4*sum2 + stemPoint*stemPoint*d[6],
		difference1 + 8*difference2 + d[5] + stemPoint*stemPoint*stemPoint*d[6],
	}
}

func stemInputGeneric(v []float32, vs, ts int, last []float32, ls int, x []float32, tiles int) {
	for t := range tiles {
		z := x[3*2*StemOutputs*t:]
		for i := range StemDeep {
			even := i < 3
			for p, row := range f4.bt {
				var here, next float32
				for j, factor := range row {
					here += factor * z[6*j+i]
					next += factor * z[6*(j+1)+i]
				}
				if even {
					v[p*vs+t*ts+i] = next - stemPoint*here
				} else {
					v[p*vs+t*ts+i] = here
				}
				if even && p == 5 {
					last[t*ls+i] = here
				}
			}
		}
	}
}

func stemOutputGeneric(y, m []float32, ms int, bias []float32, tiles int) {
	for t := range tiles {
		for c := range stemChannels {
			var d [StemPositions]float32
			for p := range d {
				d[p] = m[p*ms+t*stemChannels+c]
			}
			for i, sum := range stemBack(d) {
				y[(StemOutputs*t+i)*stemChannels+c] = max(0, sum+bias[c])
			}
		}
	}
}
