package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// stemInput writes the transform of a row of pixels, with AVX2 for all levels: a vector holds a pixel of an even place and
// its right neighbor, six floats of two times three colors.
func stemInput(t target) {
	TEXT("stemInputAVX2", NOSPLIT, "func(v *float32, vs, ts int, last *float32, ls int, x *float32, tiles int)")
	Pragma("noescape")
	Doc("stemInputAVX2 is stemInputGeneric.")
	v, vs, ts := pointer("v"), stride("vs"), stride("ts")
	last, ls, x, tiles := pointer("last"), stride("ls"), pointer("x"), count("tiles")
	// Even places take the next window less half of the present one, odd ones the present one.
	present, next := YMM(), YMM()
	VMOVUPS(lanes("present", -0.5, -0.5, -0.5, 1, 1, 1), present)
	VMOVUPS(lanes("next", 1, 1, 1, 0, 0, 0), next)
	Label("tile")
	to := GP64()
	MOVQ(v, to)
	pixels := func(from int) func(int) Op {
		return func(i int) Op { return Mem{Base: x, Disp: 4 * 6 * (from + i)} }
	}
	c := factors{}
	for _, g := range f4.in {
		here, after := g.from(t, pixels(0), c), g.from(t, pixels(1), c)
		for o, r := range here {
			if g.makes[o] == 5 {
				storeFloats(r, last, 3)
			}
			both := t.vec()
			VMULPS(present, r, both)
			VFMADD231PS(next, after[o], both)
			storeFloats(both, to, 6)
			ADDQ(vs, to)
		}
	}
	ADDQ(ts, v)
	ADDQ(ls, last)
	ADDQ(number(4*6*4), x)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// storeFloats stores the first three or six floats of a vector, and nothing behind them.
func storeFloats(x reg.VecVirtual, to reg.GPVirtual, n int) {
	if n == 3 {
		VMOVQ(x.AsX(), Mem{Base: to})
		VEXTRACTPS(Imm(2), x.AsX(), Mem{Base: to, Disp: 8})
		return
	}
	high := XMM()
	VMOVUPS(x.AsX(), Mem{Base: to})
	VEXTRACTF128(Imm(1), x, high)
	VMOVQ(high, Mem{Base: to, Disp: 16})
}

// lanes is a vector of eight floats in read-only memory.
func lanes(name string, values ...float32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		var value float32
		if i < len(values) {
			value = values[i]
		}
		DATA(4*i, F32(value))
	}
	return m
}

// stemFactors loads what stemBack multiplies with, before a loop.
func (t target) stemFactors() factors {
	c := factors{}
	for _, factor := range []float32{2, 4, 8, 0.5, 0.25, 0.125} {
		c[factor] = t.constant(factor)
	}
	return c
}

// stemBack transforms the seven values of a tile at the points of the stem back to four outputs: F(4,3)'s, and that of the point 1/2.
func (t target) stemBack(c factors, at func(i int) Op, do func(i int, r reg.VecVirtual)) {
	extra := t.load(at(6))
	for _, g := range f4.out {
		for o, r := range g.from(t, at, c) {
			i := g.makes[o]
			if i == 0 {
				VADDPS(extra, r, r)
			} else {
				t.accumulate(c, r, []float32{1, 0.5, 0.25, 0.125}[i], extra, VFMADD231PS)
			}
			do(i, r)
		}
	}
}

// stemOutput writes the inverse transform of a row of tiles.
func (t target) stemOutput() {
	TEXT("stemOutput"+t.suffix, NOSPLIT, "func(y, m *float32, ms int, bias *float32, tiles int)")
	Pragma("noescape")
	Doc("stemOutput" + t.suffix + " is stemOutputGeneric.")
	const pixel = 64 * 4
	y, m, ms, tiles := pointer("y"), pointer("m"), stride("ms"), count("tiles")
	positions := newLine(ms)
	six := GP64()
	LEAQ(Mem{Base: positions.three, Index: positions.three, Scale: 1}, six)
	c := t.stemFactors()
	Label("tile")
	bias, left := pointer("bias"), GP64()
	MOVQ(U32(64/t.lanes), left)
	Label("channel")
	zero := t.zero()
	at := func(i int) Op {
		if i == 6 {
			return Mem{Base: m, Index: six, Scale: 1}
		}
		return positions.at(m, i)
	}
	t.stemBack(c, at, func(i int, r reg.VecVirtual) {
		VADDPS(Mem{Base: bias}, r, r)
		VMAXPS(zero, r, r)
		VMOVUPS(r, Mem{Base: y, Disp: pixel * i})
	})
	for _, p := range []reg.GPVirtual{y, m, bias} {
		ADDQ(number(t.bytes()), p)
	}
	DECQ(left)
	JNZ(LabelRef("channel"))
	ADDQ(number(3*pixel), y) // a pixel of four is done
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}
