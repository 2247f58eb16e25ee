package kernel

// MaxPool writes one row of the 3x3 stride-2 maximum: y[i*channels+c] is the largest of the three rows at
// pixels 2i, 2i+1 and 2i+2. Rows begin with their left border. channels is a multiple of 16.
func (s *Set) MaxPool(y, r0, r1, r2 []float32, columns, channels int) {
	checkChannels(channels)
	last := (2*columns+1)*channels - 1
	_, _, _, _ = y[columns*channels-1], r0[last], r1[last], r2[last]
	s.maxPool(y, r0, r1, r2, columns, channels)
}

func maxPoolGeneric(y, r0, r1, r2 []float32, columns, channels int) {
	for i := range columns {
		for c := range channels {
			best := r0[2*i*channels+c]
			for j := 2 * i; j <= 2*i+2; j++ {
				at := j*channels + c
				best = max(best, r0[at], r1[at], r2[at])
			}
			y[i*channels+c] = best
		}
	}
}
