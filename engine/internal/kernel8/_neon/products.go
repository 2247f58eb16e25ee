package main

import (
	"fmt"

	. "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"
)

// The multiplications of NEON and of FEAT_DotProd want both operands signed. So activations are multiplied less 128,
// which is their upper bit turned over, and sums begin with what makes up for it: 128 times the sum of a channel's
// weights, at the start of a panel.
const upperBit = 31

func setUpperBit() { Op("VMOVI $128, V%d.B16", upperBit) }

func turnOver(v int) { Op("VEOR V%d.B16, V%d.B16, V%d.B16", upperBit, v, v) }

// dotProd writes the tile of seven pixels by 8 channels. 14 accumulators, a vector of 16 bytes of each pixel and two of
// weights; a lane of a pixel's vector is multiplied with the weights of four channels. Wider tiles would need more
// registers than there are.
func dotProd() {
	const vectors, x, weights = 2, 14, 21
	acc := func(p, v int) int { return vectors*p + v }
	begin("tileDotProd")
	setUpperBit()
	Op("VLD1.P 32(%s), [V0.S4, V1.S4]", w)
	for i := vectors; i < vectors*pixels; i++ {
		Op("VMOV V%d.B16, V%d.B16", i%vectors, i)
	}
	point(pixels)
	multiply := func(bytes int) {
		for p := range pixels {
			load(p, bytes, x+p)
		}
		for p := range pixels {
			turnOver(x + p)
		}
		for lane := range bytes / 4 {
			for v := range vectors {
				Op("FMOVQ.P 16(%s), F%d", w, weights+v)
				for p := range pixels {
					Sdot4SLane(acc(p, v), weights+v, x+p, lane)
				}
			}
		}
	}
	walk("sum", pixels, func() { multiply(16) }, func() {
		single("sum", func() { multiply(4) })
	})
	prepare(vectors)
	for p := range pixels {
		finish(fmt.Sprint("pixel", p), acc(p, 0), acc(p, 1))
	}
	Op("RET")
}

// i8mm writes the tile of seven pixels by 8 channels with products of matrices: two pixels of eight bytes each times two
// channels. The fourth pair is the seventh pixel twice. Half of the 32 registers accumulate, eight hold pairs of pixels.
func i8mm() {
	const pairs, vectors = (pixels + 1) / 2, 4
	const x, first, second, weights = 16, 24, 25, 26
	acc := func(pair, v int) int { return vectors*pair + v }
	begin("tileI8MM")
	for i := range pairs * vectors {
		Op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	point(pixels)
	// loadPairs interleaves pixels by halves of so many bytes: 16, or fewer than 9, which are one half.
	loadPairs := func(bytes int) {
		for pair := range pairs {
			a, b := first, second
			load(2*pair, bytes, a)
			if 2*pair+1 < pixels {
				load(2*pair+1, bytes, b)
			} else {
				b = a
			}
			Op("VZIP1 V%d.D2, V%d.D2, V%d.D2", b, a, x+2*pair)
			if bytes == 16 {
				Op("VZIP2 V%d.D2, V%d.D2, V%d.D2", b, a, x+2*pair+1)
			}
		}
	}
	multiply := func(half int, weight func(to int)) {
		for v := range vectors {
			to := weights + v%2
			weight(to)
			for pair := range pairs {
				Usmmla4S(acc(pair, v), x+2*pair+half, to)
			}
		}
	}
	eight := func(to int) { Op("FMOVQ.P 16(%s), F%d", w, to) }
	walk("sum", pixels, func() {
		loadPairs(16)
		multiply(0, eight)
		multiply(1, eight)
	}, func() {
		Op("TBZ $1, %s, odd", left)
		loadPairs(8)
		multiply(0, eight)
		Label("odd")
		Op("TBZ $0, %s, sumNext", left)
		loadPairs(4)
		multiply(0, func(to int) { // four bytes of two channels, each filled up to eight
			Op("FMOVD.P 8(%s), F%d", w, to)
			Op("VUXTL V%d.S2, V%d.D2", to, to)
		})
	})
	prepare(2)
	for p := range pixels {
		zip := "VZIP" + fmt.Sprint(1+p%2) // a row of the matrices of a pair
		for v := range 2 {
			Op("%s V%d.D2, V%d.D2, V%d.D2", zip, acc(p/2, 2*v+1), acc(p/2, 2*v), x+v)
		}
		finish(fmt.Sprint("pixel", p), x, x+1)
	}
	Op("RET")
}

// neon writes the tile of seven pixels by 4 channels for CPUs without either: 16 neighboring bytes of a pixel and of
// a channel are multiplied to 16 bits, whose pairs are added to sums of 32. Products of 8 bits fit into 16, sums of two
// need not. Four pixels, then three, are done at a time: 16 accumulators, four weights, and what is between.
func neon() {
	const channels, weights, x, product = 4, 16, 20, 21
	acc := func(p, c int) int { return channels*p + c }
	begin("tileNEON")
	setUpperBit()
	const panel, height = "R14", "R15"
	Op("MOVD %s, %s", w, panel)
	Op("MOVD %s, %s", rows, height)
	for _, part := range []struct {
		label  string
		pixels int
	}{{"four", 4}, {"three", 3}} {
		n := part.pixels
		Op("ADD $16, %s, %s", panel, w)
		Op("MOVD %s, %s", height, rows)
		for i := range n * channels {
			Op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
		}
		point(n)
		walk(part.label, n, func() {
			Op("VLD1.P 64(%s), [V16.B16, V17.B16, V18.B16, V19.B16]", w)
			for p := range n {
				load(p, 16, x)
				turnOver(x)
				for c := range channels {
					Smull8H(Low, product+c%2*2, x, weights+c)
					Smull8H(High, product+c%2*2+1, x, weights+c)
					Sadalp4S(acc(p, c), product+c%2*2)
					Sadalp4S(acc(p, c), product+c%2*2+1)
				}
			}
		}, func() {
			single(part.label, func() {
				for c := range channels {
					Op("FMOVS.P 4(%s), F%d", w, weights+c)
				}
				for p := range n {
					load(p, 4, x)
					turnOver(x)
					for c := range channels { // behind the four bytes weights are zero
						Smull8H(Low, product+c%2, x, weights+c)
						Sadalp4S(acc(p, c), product+c%2)
					}
				}
			})
		})
		prepare(1)
		Op("FMOVQ (%s), F%d", panel, x)
		for p := range n {
			Op("VADDP V%d.S4, V%d.S4, V%d.S4", acc(p, 1), acc(p, 0), acc(p, 0))
			Op("VADDP V%d.S4, V%d.S4, V%d.S4", acc(p, 3), acc(p, 2), acc(p, 2))
			Op("VADDP V%d.S4, V%d.S4, V%d.S4", acc(p, 2), acc(p, 0), acc(p, 0))
			Add("S4", acc(p, 0), acc(p, 0), x)
			finish(fmt.Sprint(part.label, p), acc(p, 0))
		}
	}
	Op("RET")
}
