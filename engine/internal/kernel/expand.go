package kernel

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

// Kernels is the products at all positions of ExpandTiles tiles with the 3x3 kernels of a panel of NR output channels, which are
// transformed while they are multiplied. Transformed weights are several times as many as taps: where they would come
// from memory for few tiles, it is faster to compute them again for each image.
//
//	Sums[p*SumStride+t*SumRow+j] = sum over c of V[p*VStride+t*Channels+c] * U[p][c][j]
//
// for positions p, tiles t, input channels c, and j below NR.
type Kernels struct {
	Channels          int // a multiple of expandDeep
	V                 []float32
	VStride           int
	Taps              []float32 // [channel][row][column][NR], of ExpandSlack more channels, which are read and ignored
	Sums              []float32
	SumStride, SumRow int
	Scratch           []float32 // of ExpandScratch floats, for the kernel's use
}

const (
	// ExpandTiles is the number of tiles that MultiplyKernels multiplies.
	ExpandTiles = 4
	// ExpandSlack is the number of channels that are read after the last one.
	ExpandSlack = 2
	// ExpandScratch is the length of Kernels.Scratch.
	ExpandScratch = (2*6*(expandDeep+ExpandSlack) + 36*ExpandTiles) * genericColumns

	// expandDeep is the number of channels whose kernels are transformed together.
	expandDeep = 16
)

// Expands reports whether networks at this level use MultiplyKernels. Plain Go has it as the reference only.
func (s *Set) Expands() bool { return s.expand != nil && s.Level != cpu.Generic }

// MultiplyKernels computes Kernels by F4.
func (s *Set) MultiplyKernels(k Kernels) {
	if k.Channels < expandDeep || k.Channels%expandDeep != 0 {
		panic(fmt.Sprintf("kernel: kernels of %d channels, want a multiple of %d", k.Channels, expandDeep))
	}
	last := F4.Positions() - 1
	_, _ = k.V[last*k.VStride+ExpandTiles*k.Channels-1], k.Taps[(k.Channels+ExpandSlack)*9*s.NR-1]
	_, _ = k.Sums[last*k.SumStride+(ExpandTiles-1)*k.SumRow+s.NR-1], k.Scratch[ExpandScratch-1]
	s.expand(k)
}

// expandUnits is what the products at each position of F4 are multiplied by, if weights are transformed without units.
var expandUnits = func() (units [36]float32) {
	one := [...]float32{1. / 4, -1. / 6, -1. / 6, 1. / 24, 1. / 24, 1}
	for i := range units {
		units[i] = one[i/6] * one[i%6]
	}
	return units
}()

func expandGeneric(k Kernels) {
	const columns = genericColumns
	u := make([]float32, F4.Matrices())
	for p := range u {
		for t := range ExpandTiles {
			clear(k.Sums[p*k.SumStride+t*k.SumRow:][:columns])
		}
	}
	for i := range k.Channels * columns {
		c, j := i/columns, i%columns
		var taps [9]float32
		for tap := range taps {
			taps[tap] = k.Taps[(c*9+tap)*columns+j]
		}
		F4.Weights(u, 1, taps[:], 1)
		for p := range u {
			for t := range ExpandTiles {
				k.Sums[p*k.SumStride+t*k.SumRow+j] += k.V[p*k.VStride+t*k.Channels+c] * u[p]
			}
		}
	}
}
