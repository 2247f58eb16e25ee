// Package kernel holds the inner loops of the fp32 network: matrix products, Winograd's transforms and pooling,
// over activations with channels last. Each exists in plain Go, which is the reference, and in assembly for
// SIMD levels; a Set is one level's. Package resnet decides what is computed in which order.
//
// Slices are indexed from their start; strides count floats. Functions panic when a slice is too short, which is a
// mistake of the caller, not of a user.
package kernel

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

//go:generate sh -c "cd _asm && go run . -level avx512 -out ../avx512_amd64.s -stubs ../avx512_amd64.go -pkg kernel"
//go:generate sh -c "cd _asm && go run . -level avx2 -out ../avx2_amd64.s -stubs ../avx2_amd64.go -pkg kernel"
//go:generate sh -c "go run ./_neon > neon_arm64.s"

// Set is the kernels of one level. It is read-only and safe for concurrent use.
type Set struct {
	Level cpu.Level
	// MR is the most rows of C that are computed together, NR the number of columns. Channels of outputs must be a
	// multiple of NR.
	MR, NR int

	multiply   multiplyFunc
	multiply20 func(rows tiles.Rows, p Product20)                                   // nil if the level has none
	input      [algorithms]func(v []float32, vs int, x []float32, rs, channels int) // nil for what the level has not
	output     [algorithms]func(o Outputs)
	maxPool    func(y, r0, r1, r2 []float32, columns, channels int)

	stemInput  func(v []float32, vs, ts int, last []float32, ls int, x []float32, tiles int)
	stemOutput func(y, m []float32, ms int, bias []float32, tiles int)

	// The stem in two dimensions; nil if the level has it along rows only.
	gridColumns  func(v, x []float32, rs, tiles int)
	gridMultiply func(m, v, u []float32, tiles int)
	gridOutput   func(y [StemOutputs][]float32, m, bias []float32, tiles int)
}

var generic = Set{
	Level: cpu.Generic, MR: 4, NR: genericColumns,
	multiply: tilesOf(genericColumns, tileGeneric), multiply20: multiply20Generic,
	input: [algorithms]func(v []float32, vs int, x []float32, rs, channels int){
		F2.inputGeneric, F4.inputGeneric, F4x2.inputGeneric, Stride2.inputGeneric,
		TrimmedF2.Low.inputGeneric, TrimmedF2.Narrow.inputGeneric, TrimmedF2.Small.inputGeneric,
		TrimmedF4.Low.inputGeneric, TrimmedF4.Narrow.inputGeneric, TrimmedF4.Small.inputGeneric,
		TrimmedStride2.Low.inputGeneric, TrimmedStride2.Narrow.inputGeneric, TrimmedStride2.Small.inputGeneric},
	output: [algorithms]func(o Outputs){
		F2.outputGeneric, F4.outputGeneric, F4x2.outputGeneric, Stride2.outputGeneric,
		TrimmedF2.Low.outputGeneric, TrimmedF2.Narrow.outputGeneric, TrimmedF2.Small.outputGeneric,
		TrimmedF4.Low.outputGeneric, TrimmedF4.Narrow.outputGeneric, TrimmedF4.Small.outputGeneric,
		TrimmedStride2.Low.outputGeneric, TrimmedStride2.Narrow.outputGeneric, TrimmedStride2.Small.outputGeneric},
	maxPool: maxPoolGeneric, stemInput: stemInputGeneric, stemOutput: stemOutputGeneric,
	gridColumns: gridColumnsGeneric, gridMultiply: gridMultiplyGeneric, gridOutput: gridOutputGeneric,
}

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
