package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const unroll = 4 // steps of the innermost loop in one turn

// block is what stays in memory while tiles are computed: registers are for the innermost loop. Strides are in bytes.
type block struct {
	a, c, residual Mem // of the next tile
	fetch, then    Mem // what the next tile brings into the cache, and the one after it
	left           Mem // tiles of this height
	panel          Mem // bytes of a panel of weights
	zero           reg.VecVirtual
}

// tiles writes the product of a block: for each panel tall tiles of n rows by two vectors, then low ones of a row less.
func (t target) tiles(n int) {
	TEXT(fmt.Sprintf("tiles%d%s", n, t.suffix), NOSPLIT,
		"func(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int, ahead *float32, panels, tall, low int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("tiles%d%s is Multiply with tiles of two vectors of columns, the tall ones of %d rows.", n, t.suffix, n))
	local := AllocLocal(7 * 8)
	m := block{local, local.Offset(8), local.Offset(16), local.Offset(24), local.Offset(32), local.Offset(40), local.Offset(48), t.zero()}

	for _, stride := range []string{"as", "cs"} {
		SHLQ(Imm(2), mustParam(stride))
	}
	k, size := count("k"), GP64()
	SHLQ(Imm(2), k)
	MOVQ(k, size)
	IMULQ(mustParam("rows"), size)
	IMUL3Q(number(2*t.lanes), size, size)
	MOVQ(size, m.panel)
	{ // rs is from the end of one row of taps to the start of the next
		skip := stride("rs")
		SUBQ(k, skip)
		MOVQ(skip, mustParam("rs"))
	}

	Label("panel")
	copyTo(m.a, mustParam("a"))
	copyTo(m.c, mustParam("c"))
	copyTo(m.residual, mustParam("residual"))
	next, part := GP64(), GP64()
	MOVQ(m.panel, part)
	MOVQ(mustParam("ahead"), next)
	CMPQ(mustParam("panels"), Imm(1))
	JE(LabelRef("last"))
	MOVQ(mustParam("b"), next)
	ADDQ(part, next)
	Label("last")
	MOVQ(next, m.fetch)
	SHRQ(Imm(uint64(t.streams)), part) // of each stream, by one tile: half a panel or a quarter
	ADDQ(part, next)
	MOVQ(next, m.then)

	copyTo(m.left, mustParam("tall"))
	t.tile(n, "Tall", m)
	if n > 1 {
		left := count("low")
		TESTQ(left, left)
		JZ(LabelRef("done"))
		MOVQ(left, m.left)
		t.tile(n-1, "Low", m)
		Label("done")
	}

	{ // the next panel's
		size := GP64()
		MOVQ(m.panel, size)
		ADDQ(size, mustParam("b"))
		ADDQ(number(2*t.bytes()), mustParam("bias"))
		ADDQ(number(2*t.bytes()), mustParam("c"))
		CMPQ(mustParam("residual"), Imm(0))
		JEQ(LabelRef("without"))
		ADDQ(number(2*t.bytes()), mustParam("residual"))
		Label("without")
	}
	DECQ(mustParam("panels"))
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}

func copyTo(to, from Mem) {
	r := GP64()
	MOVQ(from, r)
	MOVQ(r, to)
}

// tile writes the loop over tiles of n rows. All of a tile stays in registers while the inner loop multiplies one float of
// each row with two vectors of weights.
func (t target) tile(n int, id string, m block) {
	Label("tile" + id)
	s := GP64()
	MOVQ(mustParam("as"), s)
	a := GP64()
	MOVQ(m.a, a)
	{
		after := GP64()
		IMUL3Q(number(n), s, after)
		ADDQ(a, after)
		MOVQ(after, m.a)
	}
	at, bases := addresses(n, a, s)
	b := pointer("b")
	ahead := GP64() // the first two tiles of a panel fetch a half each of what comes next, others what is there already
	MOVQ(m.fetch, ahead)
	copyTo(m.fetch, m.then)
	MOVQ(b, m.then)

	var acc [][2]reg.VecVirtual
	bias := pointer("bias")
	for p := range n {
		pair := [2]reg.VecVirtual{t.vec(), t.vec()}
		for v := range pair {
			if p == 0 {
				VMOVUPS(Mem{Base: bias, Disp: v * t.bytes()}, pair[v])
			} else {
				VMOVAPS(acc[0][v], pair[v])
			}
		}
		acc = append(acc, pair)
	}

	// In perLine steps one line, half of what they read of b, is fetched. Streams begin half a panel apart. What comes in two of them
	// would not stay in the first-level cache.
	perLine, fetch, apart := 64/t.bytes(), PREFETCHT0, GP64()
	if t.streams == 2 {
		fetch = PREFETCHT1
		MOVQ(m.panel, apart)
		SHRQ(Imm(1), apart)
	}
	lines := unroll / perLine / t.streams // of each stream, in one turn of the loop
	step := func(i int) {
		switch line := i / perLine; {
		case i%perLine > 0:
		case line < lines:
			fetch(Mem{Base: ahead, Disp: 64 * line})
		default:
			fetch(Mem{Base: ahead, Index: apart, Scale: 1, Disp: 64 * (line - lines)})
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
		ADDQ(number(steps*t.bytes()/t.streams), ahead)
	}

	rows, skip, k := count("rows"), count("rs"), count("k")
	left := GP64()
	Label("row" + id)
	MOVQ(k, left)
	SUBQ(Imm(unroll), left)
	JL(LabelRef("rest" + id))
	Label("steps" + id)
	for i := range unroll {
		step(i)
	}
	advance(unroll)
	SUBQ(Imm(unroll), left)
	JGE(LabelRef("steps" + id))
	Label("rest" + id)
	ADDQ(Imm(unroll), left)
	JZ(LabelRef("next" + id))
	Label("single" + id)
	step(0)
	advance(1)
	DECQ(left)
	JNZ(LabelRef("single" + id))
	Label("next" + id)
	for _, base := range bases {
		ADDQ(skip, base)
	}
	DECQ(rows)
	JNZ(LabelRef("row" + id))

	cs, residual := count("cs"), GP64()
	MOVQ(m.residual, residual)
	TESTQ(residual, residual)
	JZ(LabelRef("activate" + id))
	for p := range n {
		for v := range acc[p] {
			VADDPS(Mem{Base: residual, Disp: v * t.bytes()}, acc[p][v], acc[p][v])
		}
		ADDQ(cs, residual)
	}
	MOVQ(residual, m.residual)
	Label("activate" + id)
	CMPQ(mustParam("relu"), Imm(0))
	JEQ(LabelRef("store" + id))
	for p := range n {
		for v := range acc[p] {
			VMAXPS(m.zero, acc[p][v], acc[p][v])
		}
	}
	Label("store" + id)
	c := GP64()
	MOVQ(m.c, c)
	for p := range n {
		for v := range acc[p] {
			VMOVUPS(acc[p][v], Mem{Base: c, Disp: v * t.bytes()})
		}
		ADDQ(cs, c)
	}
	MOVQ(c, m.c)
	DECQ(m.left)
	JNZ(LabelRef("tile" + id))
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
