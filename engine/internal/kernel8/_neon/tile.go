package main

import (
	"fmt"

	. "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"
)

const pixels = 7 // of a tile

// Registers of a tile's parameters.
const (
	dst, src, w, rows, steps, rowStride, pixelStride     = "R0", "R1", "R2", "R3", "R4", "R5", "R6"
	dstStride, mul, bias, biasStride, residual, left, at = "R7", "R8", "R9", "R10", "R11", "R12", "R13"
)

// begin writes the start of a tile.
func begin(name string) {
	const factor = 4 // bytes of the last parameter
	TextAnd(name, 0, factor, "dst", "src", "w", "rows", "steps", "rowStride", "pixelStride", "dstStride", "mul", "bias",
		"biasStride", "residual")
	Op("LSL $2, %s, %s", biasStride, biasStride)
	Op("LSL $2, %s, %s", steps, at)
	Op("SUB %s, %s, %s", at, rowStride, rowStride) // from the end of a row to the next
}

// pixel is the register which points to what pixel p reads.
func pixel(p int) string { return fmt.Sprintf("R%d", 19+p) }

// point sets the pointers of n pixels, from the address in src on, which then is that of the next.
func point(n int) {
	for p := range n {
		Op("MOVD %s, %s", src, pixel(p))
		Op("ADD %s, %s", pixelStride, src)
	}
}

// walk writes the loops over a kernel's rows and steps for n pixels: whole does four steps at once, which are 16 bytes
// of each pixel; rest does what is left in the register of that name, fewer than four.
func walk(label string, n int, whole, rest func()) {
	Label("%sRow", label)
	Op("SUBS $4, %s, %s", steps, left)
	Op("BLT %sRest", label)
	Label("%sWhole", label)
	whole()
	Op("SUBS $4, %s", left)
	Op("BGE %sWhole", label)
	Label("%sRest", label)
	Op("ADDS $4, %s", left)
	Op("BEQ %sNext", label)
	rest()
	Label("%sNext", label)
	for p := range n {
		Op("ADD %s, %s", rowStride, pixel(p))
	}
	Op("SUBS $1, %s", rows)
	Op("BNE %sRow", label)
}

// single writes a loop that does the steps left one by one.
func single(label string, step func()) {
	Label("%sSingle", label)
	step()
	Op("SUBS $1, %s", left)
	Op("BNE %sSingle", label)
}

// load loads so many bytes of pixel p into a register, the rest of which becomes zero, and moves its pointer.
func load(p, bytes, to int) {
	Op("FMOV%s.P %d(%s), F%d", map[int]string{4: "S", 8: "D", 16: "Q"}[bytes], bytes, pixel(p), to)
}

// Registers of what follows the sums.
const (
	scales  = 24 // and the next
	offsets = 26 // and the next
	widened = 28 // and the next
	factor  = 30
)

// prepare loads what all pixels are scaled with: v vectors of channels.
func prepare(v int) {
	Op("FMOVS residualMul+96(FP), F%d", factor)
	Op("VDUP V%d.S[0], V%d.S4", factor, factor)
	for i := range v {
		Op("FMOVQ %d(%s), F%d", 16*i, mul, scales+i)
	}
}

// finish writes what follows the sums of one pixel, in one or two vectors of four channels: scale, bias, residual,
// rounding and the store. It moves dst, bias and residual to the next pixel.
func finish(label string, sums ...int) {
	bytes := map[int]string{1: "FMOVS", 2: "FMOVD"}[len(sums)]
	for i, s := range sums {
		Op("FMOVQ %d(%s), F%d", 16*i, bias, offsets+i)
		Scvtf4S(s, s)
		Fmul4S(s, s, scales+i)
		Fadd4S(s, s, offsets+i)
	}
	Op("ADD %s, %s", biasStride, bias)
	Op("CBZ %s, %sPlain", residual, label)
	Op("%s (%s), F%d", bytes, residual, widened)
	Op("ADD %s, %s", dstStride, residual)
	Widen8H(Low, widened, widened)
	if len(sums) == 2 {
		Op("VUXTL2 V%d.H8, V%d.S4", widened, widened+1)
	}
	Op("VUXTL V%d.H4, V%d.S4", widened, widened)
	for i, s := range sums {
		Scvtf4S(widened+i, widened+i)
		Fmul4S(widened+i, widened+i, factor)
		Fadd4S(s, s, widened+i)
	}
	Label("%sPlain", label)
	for i, s := range sums {
		Fcvtns4S(s, s)
		Sqxtn4S(Half(i), widened, s)
	}
	Sqxtun8H(Low, widened, widened)
	Op("%s F%d, (%s)", bytes, widened, dst)
	Op("ADD %s, %s", dstStride, dst)
}
