// Package dense folds what is done before and after a fully connected layer into its weights. Packages onnx and recognize read
// heads with batch norm and other scaling between their layers; package resnet has layers and ReLU only.
//
// Sums are in float64, so that rounding to float32 at the end is the only error.
package dense

// Layer is y = Weight*x + Bias.
type Layer struct {
	In     int       // number of inputs
	Weight []float64 // [output][input]
	Bias   []float64 // one for each output
}

// row has the weights of one output.
func (l *Layer) row(output int) []float64 { return l.Weight[output*l.In:][:l.In] }

// Before folds what is done to the inputs: W(s*x + t) + b = (W*s)x + (Wt + b).
func (l *Layer) Before(scale, shift []float64) {
	for o := range l.Bias {
		row := l.row(o)
		for i := range row {
			l.Bias[o] += row[i] * shift[i]
			row[i] *= scale[i]
		}
	}
}

// After folds what is done to the outputs: s(Wx + b) + t = (s*W)x + (s*b + t).
func (l *Layer) After(scale, shift []float64) {
	for o, s := range scale {
		row := l.row(o)
		for i := range row {
			row[i] *= s
		}
		l.Bias[o] = l.Bias[o]*s + shift[o]
	}
}

// Swap exchanges the two halves of the inputs.
func (l *Layer) Swap() {
	for o := range l.Bias {
		row := l.row(o)
		half := len(row) / 2
		for i := range half {
			row[i], row[half+i] = row[half+i], row[i]
		}
	}
}

// Wide returns numbers in double precision.
func Wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// Narrow rounds numbers to single precision.
func Narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}
