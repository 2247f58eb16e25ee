// Package kernel holds the inner loops of the fp32 network: matrix tiles, Winograd's transforms and pooling,
// over activations with channels last. Each exists in plain Go, which is the reference, and in assembly for
// SIMD levels; a Set is one level's. What is done in which order is engine/resnet's business.
//
// Slices are indexed from their start; strides count floats. Functions panic when a slice is too short for
// what they are asked to touch: that is a mistake of the caller, not of a user.
package kernel

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

//go:generate sh -c "cd _asm && go run . -level avx512 -out ../avx512_amd64.s -stubs ../avx512_amd64.go -pkg kernel"
//go:generate sh -c "cd _asm && go run . -level avx2 -out ../avx2_amd64.s -stubs ../avx2_amd64.go -pkg kernel"
//go:generate sh -c "go run ./_neon > neon_arm64.s"

// Set is the kernels of one level. It is read-only and safe for concurrent use.
type Set struct {
	Level cpu.Level
	// Rows is the most rows of a tile, and Columns their number of columns. Channels of outputs must be a
	// multiple of Columns.
	Rows, Columns int

	multiply multiplyFunc
	input    [algorithms]func(v []float32, vs int, x []float32, rs, channels int)
	output   [algorithms]func(y []float32, rs, channels, rows, columns int, m []float32, ms int, bias, residual []float32, relu bool)
	maxPool  func(y, r0, r1, r2 []float32, columns, channels int)

	stemInput  func(v []float32, vs, ts int, last []float32, ls int, x []float32, tiles int)
	stemOutput func(y, m []float32, ms int, bias []float32, tiles int)
}

var generic = Set{
	Level: cpu.Generic, Rows: 4, Columns: genericColumns,
	multiply: tilesOf(genericColumns, tileGeneric),
	input: [algorithms]func(v []float32, vs int, x []float32, rs, channels int){
		F2.inputGeneric, F4.inputGeneric, F4x2.inputGeneric, Stride2.inputGeneric},
	output: [algorithms]func(y []float32, rs, channels, rows, columns int, m []float32, ms int, bias, residual []float32, relu bool){
		F2.outputGeneric, F4.outputGeneric, F4x2.outputGeneric, Stride2.outputGeneric},
	maxPool: maxPoolGeneric, stemInput: stemInputGeneric, stemOutput: stemOutputGeneric,
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
