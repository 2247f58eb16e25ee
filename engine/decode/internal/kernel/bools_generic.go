package kernel

// zigzag is the place of each position in a block.
var zigzag = [16]uint8{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15}

// categories are the probabilities of the bits of large coefficients, from the highest on, and the number to add.
var categories = [6]struct {
	base  int
	probs []uint8
}{
	{5, []uint8{159}},
	{7, []uint8{165, 145}},
	{11, []uint8{173, 148, 140}},
	{19, []uint8{176, 155, 140, 135}},
	{35, []uint8{180, 157, 141, 134, 130}},
	{67, []uint8{254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}},
}

func readBlockGeneric(b *Bools, dst *Block, probs *PositionProbs, context, first int, f *Factors) int {
	n := first
	p := &probs[n][context]
	if b.Bit(p[0]) == 0 {
		return n
	}
	for {
		for b.Bit(p[1]) == 0 { // a coefficient of zero
			if n++; n == 16 {
				return n
			}
			p = &probs[n][0]
		}
		v, context := 1, 1
		if b.Bit(p[2]) == 1 {
			v, context = b.large(p), 2
		}
		v *= int(f[min(n, 1)])
		if b.Bit(Even) == 1 {
			v = -v
		}
		dst[zigzag[n]] = int16(v) // as libwebp stores it, whatever its size
		n++
		p = &probs[n][context]
		if n == 16 || b.Bit(p[0]) == 0 {
			return n
		}
	}
}

// large reads the amount of a coefficient that is 2 or more.
func (b *Bools) large(p *[11]uint8) int {
	if b.Bit(p[3]) == 0 {
		if b.Bit(p[4]) == 0 {
			return 2
		}
		return 3 + b.Bit(p[5])
	}
	category := 0
	switch {
	case b.Bit(p[6]) == 0:
		category = b.Bit(p[7])
	case b.Bit(p[8]) == 0:
		category = 2 + b.Bit(p[9])
	default:
		category = 4 + b.Bit(p[10])
	}
	c := &categories[category]
	v := 0
	for _, p := range c.probs {
		v = v<<1 | b.Bit(p)
	}
	return c.base + v
}
