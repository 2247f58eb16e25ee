package fit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestTemperature draws classes by the probabilities of logits, and multiplies those: the factor is found.
func TestTemperature(t *testing.T) {
	t.Parallel()
	src := rand.New(rand.NewPCG(2, 2))
	for _, factor := range []float64{0.5, 1, 4} {
		var logits [][]float64
		var y []int
		for range 4000 {
			z := []float64{2 * src.NormFloat64(), 2 * src.NormFloat64(), 2 * src.NormFloat64()}
			p := Probabilities([][]float64{z}, 1)[0]
			class, u := 0, src.Float64()
			for class < 2 && u > p[class] {
				u -= p[class]
				class++
			}
			for i := range z {
				z[i] *= factor
			}
			logits, y = append(logits, z), append(y, class)
		}
		got := Temperature(logits, y, Doubt(len(y)))
		near(t, fmt.Sprintf("temperature of logits times %v", factor), got, factor, 0.1*factor)
		before, after := CalibrationError(Probabilities(logits, 1), y), CalibrationError(Probabilities(logits, got), y)
		if after > 0.03 || factor != 1 && before < 2*after {
			t.Errorf("factor %v: calibration error %.3f, %.3f at the temperature", factor, before, after)
		}
	}
	// Of 8 vectors that all are right with a margin of 40, each may be wrong by 1/10, half of it by the same class.
	var sure [][]float64
	for range 8 {
		sure = append(sure, []float64{40, 0})
	}
	p := Probabilities(sure, Temperature(sure, make([]int, 8), Doubt(8)))
	near(t, "probability of 8 that are right", p[0][0], 0.95, 1e-3)
	if got := Temperature([][]float64{{1, 0}, {0, 1}}, []int{0, 1}, 0); math.Abs(got-minTemperature) > 0.001 {
		t.Errorf("temperature where all are right = %v, want the least, %v", got, minTemperature)
	}
	if got := Temperature([][]float64{{1, 0}, {0, 1}}, []int{1, 0}, 0); math.Abs(got-maxTemperature) > 1 {
		t.Errorf("temperature where all are wrong = %v, want the most, %v", got, maxTemperature)
	}
}

func TestCalibrationError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		p    [][]float64
		y    []int
		want float64
	}{
		{"certain and right", [][]float64{{1, 0}, {0, 1}}, []int{0, 1}, 0},
		{"certain and wrong", [][]float64{{1, 0}, {0, 1}}, []int{1, 0}, 1},
		{"three of four at 0.75", [][]float64{{0.75, 0.25}, {0.75, 0.25}, {0.75, 0.25}, {0.25, 0.75}}, []int{0, 0, 1, 1}, 0},
		{"half at 0.75", [][]float64{{0.75, 0.25}, {0.75, 0.25}}, []int{0, 1}, 0.25},
		{"errors of bins do not cancel", [][]float64{{0.95, 0.05}, {0.45, 0.55}}, []int{1, 1}, (0.95 + 0.45) / 2},
		{"none", nil, nil, 0},
	} {
		near(t, test.name, CalibrationError(test.p, test.y), test.want, 1e-12)
	}
}

func TestMean(t *testing.T) {
	t.Parallel()
	mean, deviation := Mean([]float64{1, 2, 3, 6})
	near(t, "mean", mean, 3, 1e-12)
	near(t, "deviation", deviation, math.Sqrt(14.0/3/4), 1e-12)
	if mean, deviation := Mean([]float64{5}); mean != 5 || deviation != 0 {
		t.Errorf("of one number %v, %v", mean, deviation)
	}
}

func TestConfusion(t *testing.T) {
	t.Parallel()
	logits, y := [][]float64{{1, 0, 0}, {0, 2, 1}, {0, 0, 1}, {3, 0, 4}}, []int{0, 1, 1, 0}
	if got, want := fmt.Sprint(Confusion(logits, y, 3)), "[[1 0 1] [0 1 1] [0 0 0]]"; got != want {
		t.Errorf("Confusion = %v, want %v", got, want)
	}
	near(t, "accuracy", Accuracy(logits, y), 0.5, 0)
	near(t, "accuracy of none", Accuracy(nil, nil), 0, 0)
}

func TestSoftmax(t *testing.T) {
	t.Parallel()
	z := []float64{1000, 1000 + math.Log(3)}
	near(t, "logarithm of the sum", Softmax(z), 1000+math.Log(4), 1e-9)
	near(t, "probability", z[1], 0.75, 1e-9)
}

func TestNormalizeAndScale(t *testing.T) {
	t.Parallel()
	x := Normalize([]float32{3, 4}, 10)
	near(t, "x", x[0], 6, 1e-12)
	near(t, "y", x[1], 8, 1e-12)
	near(t, "zero", Normalize([]float32{0, 0}, 10)[1], 0, 0)
	l := Linear{W: [][]float64{{1, 2}}, B: []float64{3}}
	near(t, "scaled", l.Scale(0.5).Logits(x)[0], l.Logits(x)[0]/2, 1e-12)
}
