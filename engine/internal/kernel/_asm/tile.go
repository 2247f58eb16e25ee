package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const unroll = 4 // steps of the innermost loop in one turn

// tile writes the matrix tile of n rows by two vectors. All of it stays in registers while the inner loop
// multiplies one float of each row with two vectors of weights.
func (t target) tile(n int) {
	TEXT(fmt.Sprintf("tile%d%s", n, t.suffix), NOSPLIT,
		"func(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int, ahead *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("tile%d%s is tileGeneric with n = %d and two vectors of columns.", n, t.suffix, n))

	s := stride("as")
	k := count("k")
	skip := stride("rs")
	{ // from the end of one row of taps to the start of the next
		span := GP64()
		MOVQ(k, span)
		SHLQ(Imm(2), span)
		SUBQ(span, skip)
	}
	at, bases := addresses(n, pointer("a"), s)
	b := pointer("b")

	var acc [][2]reg.VecVirtual
	bias := pointer("bias")
	for range n {
		pair := [2]reg.VecVirtual{t.vec(), t.vec()}
		for v := range pair {
			VMOVUPS(Mem{Base: bias, Disp: v * t.bytes()}, pair[v])
		}
		acc = append(acc, pair)
	}

	ahead := pointer("ahead")
	perLine := 64 / t.bytes() // steps in which one line, half of what they read of b, is fetched
	step := func(i int) {
		if i%perLine == 0 {
			PREFETCHT0(Mem{Base: ahead, Disp: i * t.bytes()})
		}
		w := [2]reg.VecVirtual{t.vec(), t.vec()}
		for v := range w {
			VMOVUPS(Mem{Base: b, Disp: (2*i + v) * t.bytes()}, w[v])
		}
		for p := range n {
			x := t.vec()
			VBROADCASTSS(at(p, 4*i), x)
			for v := range w {
				VFMADD231PS(x, w[v], acc[p][v])
			}
		}
	}
	advance := func(steps int) {
		for _, base := range bases {
			ADDQ(number(4*steps), base)
		}
		ADDQ(number(2*steps*t.bytes()), b)
		ADDQ(number(steps*t.bytes()), ahead)
	}

	rows := count("rows")
	left := GP64()
	Label("row")
	MOVQ(k, left)
	SUBQ(Imm(unroll), left)
	JL(LabelRef("rest"))
	Label("steps")
	for i := range unroll {
		step(i)
	}
	advance(unroll)
	SUBQ(Imm(unroll), left)
	JGE(LabelRef("steps"))
	Label("rest")
	ADDQ(Imm(unroll), left)
	JZ(LabelRef("next"))
	Label("single")
	step(0)
	advance(1)
	DECQ(left)
	JNZ(LabelRef("single"))
	Label("next")
	for _, base := range bases {
		ADDQ(skip, base)
	}
	DECQ(rows)
	JNZ(LabelRef("row"))

	cs := stride("cs")
	residual := pointer("residual")
	TESTQ(residual, residual)
	JZ(LabelRef("activate"))
	for p := range n {
		for v := range acc[p] {
			VADDPS(Mem{Base: residual, Disp: v * t.bytes()}, acc[p][v], acc[p][v])
		}
		if p < n-1 {
			ADDQ(cs, residual)
		}
	}
	Label("activate")
	relu := count("relu")
	TESTQ(relu, relu)
	JZ(LabelRef("store"))
	zero := t.zero()
	for p := range n {
		for v := range acc[p] {
			VMAXPS(zero, acc[p][v], acc[p][v])
		}
	}
	Label("store")
	c := pointer("c")
	for p := range n {
		for v := range acc[p] {
			VMOVUPS(acc[p][v], Mem{Base: c, Disp: v * t.bytes()})
		}
		if p < n-1 {
			ADDQ(cs, c)
		}
	}
	VZEROUPPER()
	RET()
}

// addresses reaches n rows that lie s bytes apart with few registers: a base for every third row, and the
// two after it through the index scaled by one and two.
func addresses(n int, a, s reg.GPVirtual) (at func(row, disp int) Mem, bases []reg.GPVirtual) {
	bases = append(bases, a)
	if n > 3 {
		three := GP64()
		LEAQ(Mem{Base: s, Index: s, Scale: 2}, three)
		for len(bases)*3 < n {
			next := GP64()
			LEAQ(Mem{Base: bases[len(bases)-1], Index: three, Scale: 1}, next)
			bases = append(bases, next)
		}
	}
	return func(row, disp int) Mem {
		m := Mem{Base: bases[row/3], Disp: disp}
		if row%3 > 0 {
			m.Index, m.Scale = s, uint8(row%3)
		}
		return m
	}, bases
}
