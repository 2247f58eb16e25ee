package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// weights is a format of weights. A step multiplies two vectors of them.
type weights struct {
	name, function string // of the assembly functions, and what they do
	signature      string
	unroll         int  // steps of the innermost loop in one turn
	convolution    bool // rows of A have several pieces of any length, and bias, residual and ReLU follow; else a panel begins with scales
	load           func(t target, b reg.GPVirtual, step int) [2]reg.VecVirtual
}

var (
	floats = weights{"tiles", "Multiply",
		"func(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int, ahead *float32, panels, tall, low int)",
		4, true, func(t target, b reg.GPVirtual, step int) (w [2]reg.VecVirtual) {
			for v := range w {
				w[v] = t.load(Mem{Base: b, Disp: (2*step + v) * t.bytes()})
			}
			return w
		}}
	words = weights{"words", "Multiply20",
		"func(c *float32, cs int, a *float32, as, turns, rest int, b, ahead *uint32, panel, panels, tall, low int)",
		6, false, func(t target, b reg.GPVirtual, step int) [2]reg.VecVirtual {
			return [2]reg.VecVirtual{t.weight20(b, 2*step), t.weight20(b, 2*step+1)}
		}}
)

// weight20 loads the n-th vector of those that kernel.Pack20 stores three in two. What lies below a weight's bits is not cleared.
func (t target) weight20(b reg.GPVirtual, n int) reg.VecVirtual {
	word := func(i int) Mem { return Mem{Base: b, Disp: (n/3*2 + i) * t.bytes()} }
	w := t.vec()
	if n%3 < 2 {
		VCVTDQ2PS(word(n%3), w)
		return w
	}
	VMOVDQU(word(1), w)
	VPSLLD(Imm(12), w, w)
	VPADDD(word(0).Offset(-3), w, w) // each lane has the lowest byte of a word in its highest
	VCVTDQ2PS(w, w)
	return w
}

// block is what stays in memory while tiles are computed: registers are for the innermost loop. Strides are in bytes.
type block struct {
	a, c, residual Mem // of the next tile
	fetch, then    Mem // what the next tile brings into the cache, and the one after it
	left           Mem // tiles of this height
	panel          Mem // bytes of a panel of weights
	zero           reg.VecVirtual
}

// tiles writes the product of a block: for each panel tall tiles of n rows by two vectors, then low ones of a row less.
func (t target) tiles(w weights, n int) {
	name := fmt.Sprintf("%s%d%s", w.name, n, t.suffix)
	TEXT(name, NOSPLIT, w.signature)
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is %s with tiles of two vectors of columns, the tall ones of %d rows.", name, w.function, n))
	local := AllocLocal(7 * 8)
	m := block{a: local, c: local.Offset(8), residual: local.Offset(16), fetch: local.Offset(24), then: local.Offset(32),
		left: local.Offset(40), panel: local.Offset(48)}
	if w.convolution {
		m.zero = t.zero()
	}

	for _, stride := range []string{"as", "cs"} {
		SHLQ(Imm(2), mustParam(stride))
	}
	if w.convolution {
		k, size := count("k"), GP64()
		SHLQ(Imm(2), k)
		MOVQ(k, size)
		IMULQ(mustParam("rows"), size)
		IMUL3Q(number(2*t.lanes), size, size)
		MOVQ(size, m.panel)
		skip := stride("rs") // from the end of one row of taps to the start of the next
		SUBQ(k, skip)
		MOVQ(skip, mustParam("rs"))
	} else {
		copyTo(m.panel, mustParam("panel"))
	}

	Label("panel")
	copyTo(m.a, mustParam("a"))
	copyTo(m.c, mustParam("c"))
	if w.convolution {
		copyTo(m.residual, mustParam("residual"))
	}
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
	t.tile(w, n, "Tall", m)
	if n > 1 {
		left := count("low")
		TESTQ(left, left)
		JZ(LabelRef("done"))
		MOVQ(left, m.left)
		t.tile(w, n-1, "Low", m)
		Label("done")
	}

	{ // the next panel's
		size := GP64()
		MOVQ(m.panel, size)
		ADDQ(size, mustParam("b"))
		ADDQ(number(2*t.bytes()), mustParam("c"))
		if w.convolution {
			ADDQ(number(2*t.bytes()), mustParam("bias"))
			CMPQ(mustParam("residual"), Imm(0))
			JEQ(LabelRef("without"))
			ADDQ(number(2*t.bytes()), mustParam("residual"))
			Label("without")
		}
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
func (t target) tile(w weights, n int, id string, m block) {
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
	if !w.convolution {
		ADDQ(number(2*t.bytes()), b) // the scale of each column
	}

	acc := t.accumulators(w, n)

	// While a turn of the loop reads weights, half as many are fetched. Streams begin half a panel apart. What comes in two of them
	// would not stay in the first-level cache.
	turn := 8 * t.bytes() // four steps' floats, or six steps' words
	fetch, apart := PREFETCHT0, GP64()
	if t.streams == 2 {
		fetch = PREFETCHT1
		MOVQ(m.panel, apart)
		SHRQ(Imm(1), apart)
	}
	lines := turn / 2 / 64
	line := func(i int) {
		if each := lines / t.streams; i < each {
			fetch(Mem{Base: ahead, Disp: 64 * i})
		} else {
			fetch(Mem{Base: ahead, Index: apart, Scale: 1, Disp: 64 * (i - each)})
		}
	}
	step := func(i int, columns [2]reg.VecVirtual) {
		for p := range n {
			x := t.vec()
			VBROADCASTSS(at(p, 4*i), x)
			for v := range columns {
				VFMADD231PS(x, columns[v], acc[p][v])
			}
		}
	}
	advance := func(steps, bytes int) {
		for _, base := range bases {
			ADDQ(number(4*steps), base)
		}
		ADDQ(number(bytes), b)
		ADDQ(number(bytes/2/t.streams), ahead)
	}

	turns := func() {
		for i := range w.unroll {
			if i*lines%w.unroll == 0 {
				line(i * lines / w.unroll)
			}
			step(i, w.load(t, b, i))
		}
		advance(w.unroll, turn)
	}
	single := func() { // the rows of b that are left
		line(0)
		step(0, floats.load(t, b, 0))
		advance(1, 2*t.bytes())
	}
	left := GP64()
	if w.convolution {
		rows, skip, k := count("rows"), count("rs"), count("k")
		Label("row" + id)
		MOVQ(k, left)
		SUBQ(Imm(uint64(w.unroll)), left)
		JL(LabelRef("rest" + id))
		Label("steps" + id)
		turns()
		SUBQ(Imm(uint64(w.unroll)), left)
		JGE(LabelRef("steps" + id))
		Label("rest" + id)
		ADDQ(Imm(uint64(w.unroll)), left)
		JZ(LabelRef("next" + id))
		Label("single" + id)
		single()
		DECQ(left)
		JNZ(LabelRef("single" + id))
		Label("next" + id)
		for _, base := range bases {
			ADDQ(skip, base)
		}
		DECQ(rows)
		JNZ(LabelRef("row" + id))
		t.activate(n, id, m, acc)
	} else {
		MOVQ(mustParam("turns"), left)
		Label("steps" + id)
		turns()
		DECQ(left)
		JNZ(LabelRef("steps" + id))
		scale := pointer("b")
		for p := range n {
			for v := range acc[p] {
				VMULPS(Mem{Base: scale, Disp: v * t.bytes()}, acc[p][v], acc[p][v])
			}
		}
		MOVQ(mustParam("rest"), left)
		TESTQ(left, left)
		JZ(LabelRef("store" + id))
		Label("single" + id)
		single()
		DECQ(left)
		JNZ(LabelRef("single" + id))
		Label("store" + id)
	}
	cs, c := count("cs"), GP64()
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

// accumulators makes the sums of a tile: the bias, or zero.
func (t target) accumulators(w weights, n int) (acc [][2]reg.VecVirtual) {
	var bias reg.GPVirtual
	if w.convolution {
		bias = pointer("bias")
	}
	for p := range n {
		pair := [2]reg.VecVirtual{t.vec(), t.vec()}
		for v := range pair {
			switch {
			case !w.convolution:
				pair[v] = t.zero()
			case p == 0:
				VMOVUPS(Mem{Base: bias, Disp: v * t.bytes()}, pair[v])
			default:
				VMOVAPS(acc[0][v], pair[v])
			}
		}
		acc = append(acc, pair)
	}
	return acc
}

// activate adds the residual to a tile and applies ReLU.
func (t target) activate(n int, id string, m block, acc [][2]reg.VecVirtual) {
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
