package fit

import "math"

// Accuracy is the share of vectors whose largest logit is that of their class.
func Accuracy(logits [][]float64, y []int) float64 {
	return float64(Right(logits, y)) / float64(max(1, len(y)))
}

// Right is the number of vectors whose largest logit is that of their class.
func Right(logits [][]float64, y []int) (n int) {
	for i, z := range logits {
		if Best(z) == y[i] {
			n++
		}
	}
	return n
}

// Probabilities is the softmax of logits divided by a temperature.
func Probabilities(logits [][]float64, temperature float64) [][]float64 {
	p := make([][]float64, len(logits))
	for i, z := range logits {
		p[i] = make([]float64, len(z))
		axpy(1/temperature, z, p[i])
		Softmax(p[i])
	}
	return p
}

// The range of temperatures.
const (
	minTemperature = 0.2
	maxTemperature = 1000
)

// Temperature is the number by which logits are divided so that their probabilities fit best: where the mean of -log p[y] is
// least (Guo et al., "On calibration of modern neural networks", 2017). It searches by golden sections of the
// logarithm, which has one minimum. The order of classes stays the same.
//
// With doubt d, each vector counts as one of its class with 1-d and as one of all classes alike with d. Where all vectors are
// right, the temperature would otherwise be as low as possible, and claim a certainty that few vectors cannot show. See [Doubt].
func Temperature(logits [][]float64, y []int, doubt float64) float64 {
	loss := func(logT float64) float64 {
		t := math.Exp(logT)
		if doubt == 0 {
			return LogLoss(logits, y, t)
		}
		return (1-doubt)*LogLoss(logits, y, t) + doubt*meanLoss(logits, t)
	}
	const golden = 0.6180339887498949
	a, b := math.Log(minTemperature), math.Log(maxTemperature)
	c, d := b-golden*(b-a), a+golden*(b-a)
	lossC, lossD := loss(c), loss(d)
	for b-a > 1e-4 {
		if lossC <= lossD {
			b, d, lossD = d, c, lossC
			c = b - golden*(b-a)
			lossC = loss(c)
		} else {
			a, c, lossC = c, d, lossD
			d = a + golden*(b-a)
			lossD = loss(d)
		}
	}
	return math.Exp((a + b) / 2)
}

// Doubt is the share of vectors that may be of another class though all n that were seen are right, as Platt, "Probabilistic
// outputs for support vector machines", 1999, has it: 1/(n+2).
func Doubt(n int) float64 { return 1 / float64(n+2) }

// meanLoss is the mean of -log p[k] of all classes k at a temperature.
func meanLoss(logits [][]float64, temperature float64) float64 {
	sum := 0.0
	var z []float64
	for _, row := range logits {
		z = append(z[:0], row...)
		mean := 0.0
		for k := range z {
			z[k] /= temperature
			mean += z[k] / float64(len(z))
		}
		sum += Softmax(z) - mean
	}
	return sum / float64(max(1, len(logits)))
}

// LogLoss is the mean of [Losses].
func LogLoss(logits [][]float64, y []int, temperature float64) float64 {
	mean, _ := Mean(Losses(logits, y, temperature))
	return mean
}

// Losses is -log p[y] of each vector at a temperature.
func Losses(logits [][]float64, y []int, temperature float64) []float64 {
	losses := make([]float64, len(logits))
	var z []float64
	for i, row := range logits {
		z = append(z[:0], row...)
		for k := range z {
			z[k] /= temperature
		}
		given := z[y[i]]
		losses[i] = Softmax(z) - given
	}
	return losses
}

// Mean is the mean of numbers and its standard error; the latter is 0 for fewer than two, both for none.
func Mean(x []float64) (mean, standardError float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	if n < 2 {
		return mean, 0
	}
	variance := 0.0
	for _, v := range x {
		variance += (v - mean) * (v - mean) / (n - 1)
	}
	return mean, math.Sqrt(variance / n)
}

// CalibrationError is the expected calibration error: vectors are sorted into ten bins by the probability of the class that
// is given to them, and the differences of each bin's mean probability and accuracy are averaged, by its vectors.
func CalibrationError(p [][]float64, y []int) float64 {
	const bins = 10
	var off [bins]float64 // Σ probability - Σ right
	for i, row := range p {
		best := Best(row)
		bin := min(bins-1, int(row[best]*bins))
		off[bin] += row[best]
		if best == y[i] {
			off[bin]--
		}
	}
	sum := 0.0
	for _, v := range off {
		sum += math.Abs(v)
	}
	return sum / float64(max(1, len(y)))
}

// Confusion counts the vectors of each class by the class that is given to them: [class][given].
func Confusion(logits [][]float64, y []int, classes int) [][]int {
	counts := make([][]int, classes)
	for k := range counts {
		counts[k] = make([]int, classes)
	}
	for i, z := range logits {
		counts[y[i]][Best(z)]++
	}
	return counts
}
