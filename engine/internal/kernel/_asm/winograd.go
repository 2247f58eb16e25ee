package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd is a minimal algorithm in two dimensions, the product of two one-dimensional ones; see package kernel.
type winograd struct {
	name          string
	rows, columns minimal
}

// minimal is a one-dimensional algorithm: in transforms size pixels, out so many sums to outputs. The two-dimensional
// transforms are columns, then rows.
type minimal struct {
	size, outputs int
	in, out       func(t target, x []reg.VecVirtual) []reg.VecVirtual
}

var algorithms = []winograd{{"4", f4, f4}, {"2", f2, f2}, {"4x2", f4, f2}, {"Stride2", stride2, stride2}}

var f2 = minimal{4, 2,
	func(t target, d []reg.VecVirtual) []reg.VecVirtual {
		return []reg.VecVirtual{t.sub(d[0], d[2]), t.add(d[1], d[2]), t.sub(d[2], d[1]), t.sub(d[1], d[3])}
	},
	func(t target, m []reg.VecVirtual) []reg.VecVirtual {
		return []reg.VecVirtual{t.add(t.add(m[0], m[1]), m[2]), t.sub(t.sub(m[1], m[2]), m[3])}
	},
}

var f4 = minimal{6, 4,
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

// stride2 takes pixels of odd places, which are the first of a tile and every second from there, through F(2,2), and
// passes the others on behind them.
var stride2 = minimal{5, 2,
	func(t target, d []reg.VecVirtual) []reg.VecVirtual {
		return []reg.VecVirtual{t.sub(d[0], d[2]), d[2], t.sub(d[4], d[2]), d[1], d[3]}
	},
	func(t target, m []reg.VecVirtual) []reg.VecVirtual {
		return []reg.VecVirtual{t.add(t.add(m[0], m[1]), m[3]), t.add(t.add(m[1], m[2]), m[4])}
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
	name := "input" + w.name + t.suffix
	TEXT(name, 0, "func(v *float32, vs int, x *float32, rs, channels int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is inputGeneric of algorithm %s.", name, w.name))
	scratch := AllocLocal(w.rows.size * w.columns.size * t.bytes())
	local := func(i, j int) Mem { return scratch.Offset((i*w.columns.size + j) * t.bytes()) }

	v, vs, x, rs := pointer("v"), stride("vs"), pointer("x"), stride("rs")
	channels := count("channels")
	pixel := GP64() // bytes from a pixel to its right neighbour
	MOVQ(channels, pixel)
	SHLQ(Imm(2), pixel)
	Label("channel")
	column := GP64()
	MOVQ(x, column)
	for j := range w.columns.size {
		at := GP64()
		MOVQ(column, at)
		d := t.loads(w.rows.size, func(i int) Mem {
			if i > 0 {
				ADDQ(rs, at)
			}
			return Mem{Base: at}
		})
		for i, r := range w.rows.in(t, d) {
			VMOVUPS(r, local(i, j))
		}
		ADDQ(pixel, column)
	}
	to := GP64()
	MOVQ(v, to)
	for i := range w.rows.size {
		d := t.loads(w.columns.size, func(j int) Mem { return local(i, j) })
		for _, r := range w.columns.in(t, d) {
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
	name := "output" + w.name + t.suffix
	TEXT(name, 0,
		"func(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is outputGeneric of algorithm %s.", name, w.name))
	scratch := AllocLocal(w.rows.outputs * w.columns.size * t.bytes())
	local := func(i, j int) Mem { return scratch.Offset((i*w.columns.size + j) * t.bytes()) }

	m, ms := pointer("m"), stride("ms")
	pixel := stride("channels")
	done := GP64() // bytes of channels done
	XORQ(done, done)
	Label("channel")
	down := GP64() // positions of one column lie a row of them apart
	MOVQ(ms, down)
	IMUL3Q(number(w.columns.size), down, down)
	column := GP64()
	MOVQ(m, column)
	for j := range w.columns.size {
		at := GP64()
		MOVQ(column, at)
		d := t.loads(w.rows.size, func(i int) Mem {
			if i > 0 {
				ADDQ(down, at)
			}
			return Mem{Base: at}
		})
		for i, r := range w.rows.out(t, d) {
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
	for i := range w.rows.outputs {
		CMPQ(mustParam("rows"), Imm(uint64(i)))
		JLE(LabelRef("channeldone"))
		d := t.loads(w.columns.size, func(j int) Mem { return local(i, j) })
		sums := w.columns.out(t, d)
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
		if i < w.rows.outputs-1 {
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
