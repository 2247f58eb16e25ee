package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd is one of Winograd's minimal algorithms F(m x m, 3 x 3): tiles of m+2 squared become m squared
// outputs. in and out compute one-dimensional transforms; the two-dimensional one is columns, then rows.
type winograd struct {
	m       int
	in, out func(t target, x []reg.VecVirtual) []reg.VecVirtual
}

var f2 = winograd{2,
	func(t target, d []reg.VecVirtual) []reg.VecVirtual {
		return []reg.VecVirtual{t.sub(d[0], d[2]), t.add(d[1], d[2]), t.sub(d[2], d[1]), t.sub(d[1], d[3])}
	},
	func(t target, m []reg.VecVirtual) []reg.VecVirtual {
		return []reg.VecVirtual{t.add(t.add(m[0], m[1]), m[2]), t.sub(t.sub(m[1], m[2]), m[3])}
	},
}

var f4 = winograd{4,
	func(t target, d []reg.VecVirtual) []reg.VecVirtual {
		four, five, two := t.constant("four", 4), t.constant("five", 5), t.constant("two", 2)
		t0 := t.addProduct(t.subProduct(d[4], five, d[2]), four, d[0])
		t5 := t.addProduct(t.subProduct(d[5], five, d[3]), four, d[1])
		even, odd := t.subProduct(d[4], four, d[2]), t.subProduct(d[3], four, d[1])
		near, far := t.sub(d[4], d[2]), t.sub(d[3], d[1])
		return []reg.VecVirtual{t0, t.add(even, odd), t.sub(even, odd),
			t.addProduct(near, two, far), t.subProduct(near, two, far), t5}
	},
	func(t target, m []reg.VecVirtual) []reg.VecVirtual {
		two, four, eight := t.constant("two", 2), t.constant("four", 4), t.constant("eight", 8)
		sum1, difference1 := t.add(m[1], m[2]), t.sub(m[1], m[2])
		sum2, difference2 := t.add(m[3], m[4]), t.sub(m[3], m[4])
		return []reg.VecVirtual{
			t.add(t.add(m[0], sum1), sum2),
			t.addProduct(difference1, two, difference2),
			t.addProduct(sum1, four, sum2),
			t.addProduct(t.add(difference1, m[5]), eight, difference2),
		}
	},
}

// sub returns x - y.
func (t target) sub(x, y reg.VecVirtual) reg.VecVirtual {
	z := t.vec()
	VSUBPS(y, x, z)
	return z
}

// add returns x + y.
func (t target) add(x, y reg.VecVirtual) reg.VecVirtual {
	z := t.vec()
	VADDPS(y, x, z)
	return z
}

// addProduct returns x + factor*y.
func (t target) addProduct(x, factor, y reg.VecVirtual) reg.VecVirtual {
	z := t.vec()
	VMOVAPS(x, z)
	VFMADD231PS(y, factor, z)
	return z
}

// subProduct returns x - factor*y.
func (t target) subProduct(x, factor, y reg.VecVirtual) reg.VecVirtual {
	z := t.vec()
	VMOVAPS(x, z)
	VFNMADD231PS(y, factor, z)
	return z
}

// loads reads n vectors.
func (t target) loads(n int, at func(i int) Mem) []reg.VecVirtual {
	x := make([]reg.VecVirtual, n)
	for i := range x {
		x[i] = t.vec()
		VMOVUPS(at(i), x[i])
	}
	return x
}

// input writes the transform of one tile of pixels.
func (t target) input(w winograd) {
	name := fmt.Sprintf("input%d%s", w.m, t.suffix)
	TEXT(name, 0, "func(v *float32, vs int, x *float32, rs, channels int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is inputGeneric of F(%dx%d,3x3).", name, w.m, w.m))
	size := w.m + 2
	scratch := AllocLocal(size * size * t.bytes())
	local := func(i, j int) Mem { return scratch.Offset((i*size + j) * t.bytes()) }

	v, vs, x, rs := pointer("v"), stride("vs"), pointer("x"), stride("rs")
	channels := count("channels")
	pixel := GP64() // bytes from a pixel to its right neighbour
	MOVQ(channels, pixel)
	SHLQ(Imm(2), pixel)
	Label("channel")
	column := GP64()
	MOVQ(x, column)
	for j := range size {
		at := GP64()
		MOVQ(column, at)
		d := t.loads(size, func(i int) Mem {
			if i > 0 {
				ADDQ(rs, at)
			}
			return Mem{Base: at}
		})
		for i, r := range w.in(t, d) {
			VMOVUPS(r, local(i, j))
		}
		ADDQ(pixel, column)
	}
	to := GP64()
	MOVQ(v, to)
	for i := range size {
		d := t.loads(size, func(j int) Mem { return local(i, j) })
		for _, r := range w.in(t, d) {
			VMOVUPS(r, Mem{Base: to})
			ADDQ(vs, to)
		}
	}
	ADDQ(number(t.bytes()), x)
	ADDQ(number(t.bytes()), v)
	SUBQ(Imm(uint64(t.lanes)), channels)
	JNZ(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// output writes the inverse transform of one tile, with what follows a convolution.
func (t target) output(w winograd) {
	name := fmt.Sprintf("output%d%s", w.m, t.suffix)
	TEXT(name, 0,
		"func(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is outputGeneric of F(%dx%d,3x3).", name, w.m, w.m))
	size := w.m + 2
	scratch := AllocLocal(w.m * size * t.bytes())
	local := func(i, j int) Mem { return scratch.Offset((i*size + j) * t.bytes()) }

	m, ms := pointer("m"), stride("ms")
	pixel := stride("channels")
	done := GP64() // bytes of channels done
	XORQ(done, done)
	Label("channel")
	down := GP64() // positions of one column lie size apart
	MOVQ(ms, down)
	IMUL3Q(number(size), down, down)
	column := GP64()
	MOVQ(m, column)
	for j := range size {
		at := GP64()
		MOVQ(column, at)
		d := t.loads(size, func(i int) Mem {
			if i > 0 {
				ADDQ(down, at)
			}
			return Mem{Base: at}
		})
		for i, r := range w.out(t, d) {
			VMOVUPS(r, local(i, j))
		}
		ADDQ(ms, column)
	}
	bias := pointer("bias")
	bvec := t.vec()
	VMOVUPS(Mem{Base: bias, Index: done, Scale: 1}, bvec)
	y := pointer("y")
	ADDQ(done, y)
	residual := pointer("residual")
	for i := range w.m {
		CMPQ(mustParam("rows"), Imm(uint64(i)))
		JLE(LabelRef("channeldone"))
		d := t.loads(size, func(j int) Mem { return local(i, j) })
		sums := w.out(t, d)
		to := GP64()
		MOVQ(y, to)
		for j, r := range sums {
			id := fmt.Sprintf("%d%d", i, j)
			if j > 0 {
				CMPQ(mustParam("columns"), Imm(uint64(j)))
				JLE(LabelRef("row" + fmt.Sprint(i)))
				ADDQ(pixel, to)
			}
			VADDPS(bvec, r, r)
			TESTQ(residual, residual)
			JZ(LabelRef("plain" + id))
			{ // the residual has y's layout
				off := GP64()
				MOVQ(to, off)
				SUBQ(mustParam("y"), off)
				VADDPS(Mem{Base: residual, Index: off, Scale: 1}, r, r)
			}
			Label("plain" + id)
			CMPQ(mustParam("relu"), Imm(0))
			JEQ(LabelRef("store" + id))
			VMAXPS(t.zero(), r, r)
			Label("store" + id)
			VMOVUPS(r, Mem{Base: to})
		}
		Label("row" + fmt.Sprint(i))
		if i < w.m-1 {
			rs := stride("rs")
			ADDQ(rs, y)
		}
	}
	Label("channeldone")
	ADDQ(number(t.bytes()), m)
	ADDQ(number(t.bytes()), done)
	CMPQ(done, pixel)
	JLT(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// mustParam is a parameter's place on the stack, for comparing without a register.
func mustParam(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
