// Package kernel8 holds the inner loops of the int8 network: convolutions of 8-bit activations and weights, and
// pooling, over activations with channels last. As in package kernel there is plain Go, which is the reference, and
// assembly for SIMD levels; all produce the same bytes.
//
// Activations are unsigned with zero point 0, weights signed. Sums are exact in 32 bits. The rest is computed in
// float32, in the same order at every level, and rounded to even. Winograd's algorithms, at levels that have them, also round
// transformed weights, so their bytes differ a little from those of direct convolutions.
package kernel8

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

//go:generate sh -c "cd _asm && go run . -out ../tile_amd64.s -stubs ../tile_amd64.go -pkg kernel8"
//go:generate sh -c "go run ./_neon > tile_arm64.s"

// Pixels is the number of neighboring pixels of a tile. It divides every width of a network for 224x224 pixels.
const Pixels = 7

// Behind is how many pixels behind a line of the given width its last tile computes and reads.
func Behind(width int) int { return (width+Pixels-1)/Pixels*Pixels - width }

// maxChannels is the largest Channels of a set.
const maxChannels = 64

// RestBytes is the length of Convolution.Rest for lines of the given width.
func RestBytes(width int) int {
	if width%Pixels == 0 {
		return 0
	}
	return 2 * Pixels * maxChannels
}

// Set is the kernels of one level. It is read-only and safe for concurrent use.
type Set struct {
	Level cpu.Level
	// Channels is the number of output channels of a tile; channels of outputs must be a multiple of it.
	Channels int

	// F4, F2 and Stride2 compute 3x3 convolutions faster than Convolve, with nearly the same result. They are nil at levels where
	// they are not faster.
	F4, F2, Stride2 *Winograd

	packing packing
	widen   func(wide, packed []int8) // nil where tiles read bytes
	tiles   convolveFunc
	maxPool func(y, r0, r1, r2 []uint8, columns int)
	round   func(y []uint8, x []float32)
}

// Geometry is the layout of a convolution's input and output; strides count bytes.
type Geometry struct {
	Rows        int // rows of the kernel
	Steps       int // groups of four neighboring bytes in each: kernel width times input channels, rounded up
	RowStride   int // from one row of the input to the next
	PixelStride int // from one pixel's input to the next one's
	DstStride   int // from one pixel of the output to the next
	BiasStride  int // floats from one pixel's bias to the next; 0 if all have the same

	Width   int // pixels of a line of the output
	SrcLine int // from one line's input to the next one's; both 0 if there is one line
	DstLine int // from one line of the output to the next
}

// Convolution is lines of Width neighboring outputs, of Channels channels, and their operands:
//
//	sum = sum over rows r, bytes i of Src[l*SrcLine+p*PixelStride+r*RowStride+i] * W[r][i][c]
//	at = l*DstLine + p*DstStride + c
//	Dst[at] = saturate(round(sum*Mul[c] + Bias[p*BiasStride+c] + Residual[at]*ResidualMul))
//
// for line l, pixel p and channel c, where saturate clips to 0..255, which is also ReLU.
type Convolution struct {
	Geometry
	Lines int
	Dst   []uint8
	// Src's bytes up to three behind a kernel's row are read and multiplied by 0. For the Behind(Width) pixels behind a line,
	// whose outputs are not stored, Src and Bias are read too.
	Src         []uint8
	W           []int8 // a panel packed by Pack, as returned by Widen
	Mul, Bias   []float32
	Residual    []uint8 // nil for none; may be Dst
	ResidualMul float32
	Rest        []uint8 // room of RestBytes(Width)
}

// convolveFunc computes a convolution whose lines have the given number of whole tiles.
type convolveFunc func(c Convolution, tiles int)

// genericChannels is Channels of plain Go.
const genericChannels = 16

var generic = Set{Level: cpu.Generic, Channels: genericChannels, packing: packing{depth: 4}, tiles: tilesOf(tileGeneric),
	maxPool: maxPoolGeneric, round: roundGeneric, F4: &genericF4, F2: &genericF2, Stride2: &genericStride2}

// For returns the best kernels that the given level includes.
func For(level cpu.Level) *Set {
	best := &generic
	for _, s := range assembly() {
		if level.Includes(s.Level) {
			best = s
		}
	}
	return best
}

// Sets lists the kernels that this CPU can run, generic first: what tests compare.
func Sets() []*Set {
	sets := []*Set{&generic}
	for _, s := range assembly() {
		if slices.Contains(cpu.Levels(), s.Level) {
			sets = append(sets, s)
		}
	}
	return sets
}

// Convolve computes a convolution.
func (s *Set) Convolve(c Convolution) {
	if c.Lines < 1 || c.Width < 1 || c.Rows < 1 || c.Steps < 1 {
		panic(fmt.Sprintf("kernel8: %d lines of %d pixels, %d rows of %d steps", c.Lines, c.Width, c.Rows, c.Steps))
	}
	line, pixel, read := c.Lines-1, c.Width-1, c.Width-1+Behind(c.Width) // the last ones
	end := line*c.DstLine + pixel*c.DstStride + s.Channels - 1
	_, _ = c.Dst[end], c.Src[line*c.SrcLine+read*c.PixelStride+(c.Rows-1)*c.RowStride+4*c.Steps-1]
	panel := s.Panel(c.Geometry)
	_, _, _ = c.W[max(panel, s.Room(panel))-1], c.Mul[s.Channels-1], c.Bias[read*c.BiasStride+s.Channels-1]
	if c.Residual != nil {
		_ = c.Residual[end]
	}
	if whole := c.Width / Pixels; whole > 0 {
		s.tiles(c, whole)
	}
	if c.Width%Pixels > 0 {
		s.rest(c)
	}
}

// rest computes the pixels of each line after the last whole tile: a tile of its own, from which they are copied.
func (s *Set) rest(c Convolution) {
	from, n := c.Width/Pixels*Pixels, c.Width%Pixels
	out, residual := c.Rest[:Pixels*maxChannels], c.Rest[Pixels*maxChannels:][:Pixels*maxChannels]
	tile := c
	tile.Lines, tile.Dst, tile.DstStride, tile.Bias = 1, out, s.Channels, c.Bias[from*c.BiasStride:]
	for line := range c.Lines {
		at := line*c.DstLine + from*c.DstStride
		if c.Residual != nil {
			tile.Residual = residual
			for p := range n {
				copy(residual[p*s.Channels:][:s.Channels], c.Residual[at+p*c.DstStride:])
			}
		}
		tile.Src = c.Src[line*c.SrcLine+from*c.PixelStride:]
		s.tiles(tile, 1)
		for p := range n {
			copy(c.Dst[at+p*c.DstStride:][:s.Channels], out[p*s.Channels:])
		}
	}
}

// tilesOf convolves tile by tile.
func tilesOf(tile func(c Convolution)) convolveFunc {
	return func(c Convolution, tiles int) {
		for line := range c.Lines {
			for t := range tiles {
				one := c
				one.Lines = 1
				to := line*c.DstLine + t*Pixels*c.DstStride
				one.Dst, one.Src = c.Dst[to:], c.Src[line*c.SrcLine+t*Pixels*c.PixelStride:]
				one.Bias = c.Bias[t*Pixels*c.BiasStride:]
				if c.Residual != nil {
					one.Residual = c.Residual[to:]
				}
				tile(one)
			}
		}
	}
}

// tileGeneric convolves one tile.
func tileGeneric(conv Convolution) {
	const channels = genericChannels
	for p := range Pixels {
		var sum [channels]int32
		at := conv.W
		for r := range conv.Rows {
			from := conv.Src[p*conv.PixelStride+r*conv.RowStride:][:4*conv.Steps]
			for i := 0; i < len(from); i += 4 {
				x0, x1, x2, x3 := int32(from[i]), int32(from[i+1]), int32(from[i+2]), int32(from[i+3])
				step := (*[4 * channels]int8)(at)
				for c := range sum {
					sum[c] += x0*int32(step[4*c]) + x1*int32(step[4*c+1]) + x2*int32(step[4*c+2]) + x3*int32(step[4*c+3])
				}
				at = at[4*channels:]
			}
		}
		for c, v := range sum {
			// The conversions keep the compiler from fusing multiplication and addition, which rounds differently.
			y := float32(float32(v)*conv.Mul[c]) + conv.Bias[p*conv.BiasStride+c]
			if conv.Residual != nil {
				y = float32(y) + float32(float32(conv.Residual[p*conv.DstStride+c])*conv.ResidualMul)
			}
			conv.Dst[p*conv.DstStride+c] = saturate(y)
		}
	}
}

// saturate rounds half to even and clips to 0..255, which is also ReLU.
func saturate(y float32) uint8 { return uint8(min(255, math.RoundToEven(float64(max(0, y))))) }

// poolChannels is the number of channels of MaxPool: the stem's outputs.
const poolChannels = 64

// MaxPool writes one row of the 3x3 stride-2 maximum of 64 channels: y[i*64+c] is the largest of the three rows at
// pixels 2i, 2i+1 and 2i+2. Rows begin with their left border.
func (s *Set) MaxPool(y, r0, r1, r2 []uint8, columns int) {
	last := (2*columns+1)*poolChannels - 1
	_, _, _, _ = y[columns*poolChannels-1], r0[last], r1[last], r2[last]
	s.maxPool(y, r0, r1, r2, columns)
}

func maxPoolGeneric(y, r0, r1, r2 []uint8, columns int) {
	for i := range columns {
		for c := range poolChannels {
			var best uint8
			for j := 2 * i; j <= 2*i+2; j++ {
				at := j*poolChannels + c
				best = max(best, r0[at], r1[at], r2[at])
			}
			y[i*poolChannels+c] = best
		}
	}
}

// Round converts floats to bytes: y[i] is x[i] rounded half to even and clipped to 0..255. x has a multiple of 16 elements.
func (s *Set) Round(y []uint8, x []float32) {
	if len(x) == 0 || len(x)%16 != 0 {
		panic(fmt.Sprintf("kernel8: %d floats to round, want a multiple of 16", len(x)))
	}
	_ = y[len(x)-1]
	s.round(y, x)
}

func roundGeneric(y []uint8, x []float32) {
	for i, v := range x {
		y[i] = saturate(v)
	}
}
