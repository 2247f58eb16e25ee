package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// What kernel.MultiplyKernels works on at a time.
const (
	expandTiles = 4
	expandDeep  = 16 // input channels: a cache line of the transformed input
	expandEach  = 3  // channels that are transformed while a position is multiplied; those of a row are a few more than expandDeep
	taps        = 3
)

// expander writes MultiplyKernels. While the positions of one row of the tiles are multiplied, the kernels are transformed for
// those of the next: the former takes the multipliers, the latter the adders.
type expander struct {
	target
	side                             int // rows and columns of positions
	sums                             [expandTiles][2]reg.VecVirtual
	weights                          [2]reg.VecVirtual // operands of the multiplications
	x                                reg.VecVirtual
	rows                             [taps]reg.VecVirtual // a row of a kernel that is transformed down its columns
	a, b                             reg.VecVirtual       // of it, transformed
	u, to, from, ahead               reg.GPVirtual        // weights of this row and of the next; kernels that these are made of, and those after them
	v, c, stride, three, left, after reg.GPVirtual        // input and sums of a position
}

func (e *expander) columns() int { return 2 * e.bytes() }

// uStride is from a position to the next in a row of transformed weights.
func (e *expander) uStride() int { return e.side * expandEach * e.columns() }

func (e *expander) kernelBytes() int { return taps * taps * e.columns() }

// expand writes MultiplyKernels for F(4x4).
func (t target) expand() {
	name := "expand4" + t.suffix
	TEXT(name, NOSPLIT, "func(sums *float32, ss, cs int, v *float32, vs, as int, kernels, units, scratch *float32, blocks int)")
	Pragma("noescape")
	Doc(name + " is expandGeneric of F4.")
	e := &expander{target: t, side: f4.size, x: t.vec(), a: t.vec(), b: t.vec(),
		u: GP64(), to: GP64(), ahead: GP64(), c: GP64(), left: GP64(), after: GP64()}
	for i := range e.sums {
		e.sums[i] = [2]reg.VecVirtual{t.vec(), t.vec()}
	}
	e.weights = [2]reg.VecVirtual{t.vec(), t.vec()}
	e.rows = [taps]reg.VecVirtual{t.vec(), t.vec(), t.vec()}
	for _, name := range []string{"ss", "cs", "vs", "as"} {
		SHLQ(Imm(2), mustParam(name))
	}
	positions, rowBytes := e.side*e.side, e.side*e.uStride()
	products := func(to reg.GPVirtual) { // behind two rows of transformed weights
		MOVQ(mustParam("scratch"), to)
		ADDQ(U32(2*rowBytes), to)
	}

	products(e.c)
	zero := t.zero()
	MOVQ(U32(positions*expandTiles), e.left)
	Label("clear")
	for v := range 2 {
		VMOVUPS(zero, Mem{Base: e.c, Disp: v * t.bytes()})
	}
	ADDQ(number(e.columns()), e.c)
	DECQ(e.left)
	JNZ(LabelRef("clear"))

	e.from, e.v, e.stride, e.three = pointer("kernels"), pointer("v"), count("as"), GP64()
	LEAQ(Mem{Base: e.stride, Index: e.stride, Scale: 2}, e.three)
	MOVQ(mustParam("scratch"), e.to)
	MOVQ(U32(e.side*expandEach), e.left)
	Label("first")
	for _, op := range append(e.transform(0, 0, 0), e.transform(0, 0, 1)...) {
		op()
	}
	ADDQ(U32(e.kernelBytes()), e.from)
	ADDQ(number(e.columns()), e.to)
	DECQ(e.left)
	JNZ(LabelRef("first"))

	Label("block")
	products(e.c)
	MOVQ(mustParam("v"), e.v)
	MOVQ(mustParam("kernels"), e.ahead)
	ADDQ(U32(expandDeep*e.kernelBytes()), e.ahead)
	for i := range e.side {
		MOVQ(mustParam("scratch"), e.u)
		MOVQ(e.u, e.to)
		ADDQ(U32(rowBytes), [...]reg.GPVirtual{e.to, e.u}[i%2])
		MOVQ(mustParam("kernels"), e.from)
		if i == e.side-1 { // the next block's, if there is one
			CMPQ(mustParam("blocks"), Imm(1))
			JE(LabelRef("last"))
			ADDQ(U32(expandDeep*e.kernelBytes()), e.from)
			Label("last")
		}
		e.multiplyRow(i)
	}
	ADDQ(U32(expandDeep*e.kernelBytes()), mustParam("kernels"))
	ADDQ(number(4*expandDeep), mustParam("v"))
	DECQ(mustParam("blocks"))
	JNZ(LabelRef("block"))

	products(e.c)
	e.store(positions)
	VZEROUPPER()
	RET()
}

// multiplyRow multiplies the positions of a row, and transforms for the next one meanwhile.
func (e *expander) multiplyRow(i int) {
	position := fmt.Sprintf("position%d", i)
	MOVQ(U32(e.side), e.left)
	Label(position)
	MOVQ(mustParam("vs"), e.after) // two positions ahead
	LEAQ(Mem{Base: e.v, Index: e.after, Scale: 2}, e.after)
	for p := range e.sums {
		PREFETCHT0(e.tile(e.after, p))
	}
	var ops []func()
	for channel := range expandEach {
		for v := range 2 {
			ops = append(ops, e.transform((i+1)%e.side, channel, v)...)
		}
	}
	if i < e.side-1 { // the last row needs the next block
		positions := e.side * (e.side - 1)
		lines := (expandDeep*e.kernelBytes()/64 + positions - 1) / positions
		for line := range lines { // into the second-level cache: the first one is full
			ops = append(ops, func() { PREFETCHT1(Mem{Base: e.ahead, Disp: 64 * line}) })
		}
		ops = append(ops, func() { ADDQ(number(64*lines), e.ahead) })
	}
	sum := func(p, v int) Mem { return Mem{Base: e.c, Disp: (2*p + v) * e.bytes()} }
	for p := range e.sums {
		for v := range 2 {
			VMOVUPS(sum(p, v), e.sums[p][v])
		}
	}
	const slots = expandDeep * expandTiles
	done := 0
	for step := range expandDeep {
		for v := range 2 {
			VMOVUPS(Mem{Base: e.u, Disp: (2*step + v) * e.bytes()}, e.weights[v])
		}
		for p := range e.sums {
			VBROADCASTSS(e.tile(e.v, p).Offset(4*step), e.x)
			for v := range 2 {
				VFMADD231PS(e.x, e.weights[v], e.sums[p][v])
			}
			for end := len(ops) * (step*expandTiles + p + 1) / slots; done < end; done++ {
				ops[done]()
			}
		}
	}
	for p := range e.sums {
		for v := range 2 {
			VMOVUPS(e.sums[p][v], sum(p, v))
		}
	}
	ADDQ(number(expandTiles*e.columns()), e.c)
	ADDQ(mustParam("vs"), e.v)
	ADDQ(U32(e.uStride()), e.u)
	ADDQ(U32(expandEach*e.kernelBytes()), e.from)
	ADDQ(U32(expandEach*e.columns()), e.to)
	DECQ(e.left)
	JNZ(LabelRef(position))
}

// tile is where one of the tiles of a position begins.
func (e *expander) tile(v reg.GPVirtual, i int) Mem {
	return [...]Mem{{Base: v}, {Base: v, Index: e.stride, Scale: 1}, {Base: v, Index: e.stride, Scale: 2}, {Base: v, Index: e.three, Scale: 1}}[i]
}

// transform lists the instructions that compute one row of positions from the kernels of a vector of output channels. Positions
// are those of F(4,3) without their units: taps at 0, 1, -1, 2, -2 and infinity.
func (e *expander) transform(row, channel, vector int) (ops []func()) {
	do := func(op func()) { ops = append(ops, op) }
	for j := range taps {
		r := e.rows[j]
		tap := func(i int) Mem {
			return Mem{Base: e.from, Disp: channel*e.kernelBytes() + ((taps*i+j)*2+vector)*e.bytes()}
		}
		double := func() { VADDPS(r, r, r) }
		odd := func() { VADDPS(tap(1), r, r) }
		if row == 2 || row == 4 {
			odd = func() { VSUBPS(tap(1), r, r) }
		}
		even := func() { VADDPS(tap(0), r, r) }
		load := func(i int) func() { return func() { VMOVUPS(tap(i), r) } }
		switch row {
		case 0:
			do(load(0))
		case 1, 2:
			ops = append(ops, load(2), odd, even)
		case 3, 4:
			ops = append(ops, load(2), double, odd, double, even)
		case 5:
			do(load(2))
		}
	}
	store := func(position int, r reg.VecVirtual) {
		do(func() {
			VMOVUPS(r, Mem{Base: e.to, Disp: position*e.uStride() + channel*e.columns() + vector*e.bytes()})
		})
	}
	r := e.rows
	store(0, r[0])
	do(func() { VADDPS(r[2], r[0], e.a) })
	store(5, r[2])
	do(func() { VADDPS(r[2], r[2], r[2]) })
	do(func() { VADDPS(r[1], e.a, e.b) })
	do(func() { VSUBPS(r[1], e.a, e.a) })
	do(func() { VADDPS(r[2], r[2], r[2]) })
	store(1, e.b)
	do(func() { VADDPS(r[1], r[1], r[1]) })
	do(func() { VADDPS(r[0], r[2], r[2]) })
	store(2, e.a)
	do(func() { VADDPS(r[1], r[2], r[0]) })
	do(func() { VSUBPS(r[1], r[2], r[2]) })
	store(3, r[0])
	store(4, r[2])
	return ops
}

// store multiplies the sums by their units and writes them where they are wanted.
func (e *expander) store(positions int) {
	sums, ss, cs, units := pointer("sums"), count("ss"), count("cs"), pointer("units")
	MOVQ(U32(positions), e.left)
	Label("store")
	VBROADCASTSS(Mem{Base: units}, e.x)
	MOVQ(sums, e.to)
	for p := range expandTiles {
		for v := range 2 {
			VMULPS(Mem{Base: e.c, Disp: (2*p + v) * e.bytes()}, e.x, e.a)
			VMOVUPS(e.a, Mem{Base: e.to, Disp: v * e.bytes()})
		}
		ADDQ(cs, e.to)
	}
	ADDQ(number(expandTiles*e.columns()), e.c)
	ADDQ(ss, sums)
	ADDQ(Imm(4), units)
	DECQ(e.left)
	JNZ(LabelRef("store"))
}
