package kernel

import (
	"fmt"
	"math"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// Product20 is a matrix product with weights of 20 bits:
//
//	C[i*LDC+j] = sum over l of A[i*LDA+l] * B[l][j]
//
// for i below M, j below N and l below K. B is in panels of NR columns, each as Pack20 writes it.
//
// See docs/decisions/0176-weights-of-20-bits.md.
type Product20 struct {
	M, N, K int // N is a multiple of NR, K at least 6
	A       []float32
	LDA     int
	B       []uint32
	C       []float32
	LDC     int
	Ahead   []uint32 // as a Product's
}

const (
	// depth20 is the number of rows of B that are packed together.
	depth20 = 6
	// largest20 is the word of the largest weight of a column.
	largest20 = 1<<31 - 1<<12 // rounding it to 20 bits does not overflow
)

// Len20 is the number of words of a panel of so many rows and columns.
func Len20(rows, columns int) int {
	return columns + rows/depth20*depth20*columns/3*2 + rows%depth20*columns
}

// Pack20 rounds a panel of weights, rows of so many columns, to 20 bits or more. A row of floats comes first, the scale of each column: the
// value of 1 if the column's largest weight is largest20.
//
// Half a row is a vector of words, and six rows are four groups of three vectors. A group takes two:
//
//	bits    31 to 12                       11 to 8         7 to 0
//	first   the first weight (24 bits)     the same        the third weight's upper 8 bits
//	second  the second weight (20 bits)    the third weight's lower 12 bits
//
// A kernel takes the first two as they are, with what lies below them. The third is the sum of the second word, shifted left by 12 bits,
// and of four bytes that end with the lowest of the first word. What a kernel does not clear is known here, and subtracted before rounding.
// Rows that are left are stored as floats.
//
// A weight of 20 bits is off by at most half a unit, of which the column's largest weight is 1<<19 - 1. So small weights beside a large
// one lose bits, and zeros do not stay exact. A column whose largest weight is below about 1e-29 becomes zeros. Words are large: a sum
// overflows before it is scaled if activations reach 1e29.
func Pack20(b []uint32, columns int, weights []float32) {
	half, packed := columns/2, len(weights)/columns/depth20*depth20
	largest, perWeight := make([]uint32, columns), make([]float64, columns)
	for i := range packed {
		for j, x := range weights[i*columns:][:columns] {
			largest[j] = max(largest[j], math.Float32bits(x)&^(1<<31)) // floats of one sign are in the order of their bits
		}
	}
	for j, bits := range largest {
		scale := math.Float32frombits(bits) / largest20
		if scale < 0x1p-126 { // has too few bits, and its weights are as good as none
			scale = 0
		} else {
			perWeight[j] = 1 / float64(scale)
		}
		b[j] = math.Float32bits(scale)
	}
	before := b[columns-1] // the word before
	b = b[columns:]
	for v := 0; v < 2*packed; v += 3 {
		to := b[v/3*2*half:][:2*half]
		first, second, third := weights[v*half:][:half], weights[(v+1)*half:][:half], weights[(v+2)*half:][:half]
		even, odd := perWeight[v%2*half:][:half], perWeight[(v+1)%2*half:][:half]
		for lane := range half {
			// Of the third weight's word, what the words have in common with it.
			x := fixed(third[lane], even[lane]) + 1<<11 - int32(before>>8)
			low := x >> 12 & (1<<12 - 1)
			y := (fixed(second[lane], odd[lane])-low+1<<11)&^(1<<12-1) | low
			high := (x - y<<12) >> 24 & (1<<8 - 1)
			before = uint32((fixed(first[lane], even[lane])-high+1<<7)&^(1<<8-1) | high)
			to[lane], to[half+lane] = before, uint32(y)
		}
		before = to[2*half-1]
	}
	for i, x := range weights[packed*columns:] {
		b[packed*columns/3*2+i] = math.Float32bits(x)
	}
}

// fixed is a weight as a word.
func fixed(weight float32, perWeight float64) int32 { return int32(float64(weight) * perWeight) }

// Multiply20 computes a product. Plain Go and AVX2 have it.
func (s *Set) Multiply20(p Product20) {
	if p.M < 1 || p.N < 1 || p.N%s.NR != 0 || p.K < depth20 {
		panic(fmt.Sprintf("kernel: product of %d x %d, %d deep", p.M, p.N, p.K))
	}
	_, _, _ = p.C[(p.M-1)*p.LDC+p.N-1], p.A[(p.M-1)*p.LDA+p.K-1], p.B[p.N/s.NR*Len20(p.K, s.NR)-1]
	if len(p.Ahead) == 0 {
		p.Ahead = p.B // is being read anyway
	}
	s.multiply20(tiles.Cut(p.M, s.MR), p)
}

func multiply20Generic(_ tiles.Rows, p Product20) {
	for q := 0; q < p.N; q += genericColumns {
		panel := p.B[q/genericColumns*Len20(p.K, genericColumns):]
		for row := range p.M {
			clear(p.C[row*p.LDC+q:][:genericColumns])
		}
		var weights [genericColumns]float32
		for l := range p.K {
			for j := range weights {
				weights[j] = weight20(panel, p.K, genericColumns, l, j)
			}
			for row := range p.M {
				x, sums := p.A[row*p.LDA+l], p.C[row*p.LDC+q:][:genericColumns]
				for j, w := range weights {
					sums[j] += x * w
				}
			}
		}
	}
}

// weight20 is the weight in row l and column j of a panel.
func weight20(panel []uint32, rows, columns, l, j int) float32 {
	if packed := rows / depth20 * depth20; l >= packed {
		return math.Float32frombits(panel[Len20(packed, columns)+(l-packed)*columns+j])
	}
	return float32(word20(panel, columns, l, j)) * math.Float32frombits(panel[j])
}

// word20 is what a kernel takes for the weight in row l and column j of a panel.
func word20(panel []uint32, columns, l, j int) int32 {
	half := columns / 2
	v := 2*l + j/half
	at := columns + v/3*2*half + j%half
	switch v % 3 {
	case 0:
		return int32(panel[at])
	case 1:
		return int32(panel[at+half])
	default:
		return int32((panel[at]<<24 | panel[at-1]>>8) + panel[at+half]<<12)
	}
}
