package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	tiles  = 6 // most rows of a product's tile
	unroll = 4 // pairs of input channels in one turn of a product's loop
)

func winograd() {
	winogradInput()
	for n := 1; n <= tiles; n++ {
		winogradProducts(n)
	}
	winogradOutput()
}

// scaled loads a parameter that counts elements of 1 << shift bytes, in bytes.
func scaled(name string, shift uint64) reg.GPVirtual {
	r := pointer(name)
	SHLQ(Imm(shift), r)
	return r
}

// three is three times a stride.
func three(stride reg.GPVirtual) reg.GPVirtual {
	r := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, r)
	return r
}

func add(x, y reg.VecVirtual) reg.VecVirtual {
	z := YMM()
	VPADDD(y, x, z)
	return z
}

func sub(x, y reg.VecVirtual) reg.VecVirtual {
	z := YMM()
	VPSUBD(y, x, z)
	return z
}

// winogradInput transforms 16 channels at a time. Rows come first: each of the four combinations of two rows is made
// and finished before the next, so that nothing but its own four values is kept.
func winogradInput() {
	TEXT("inputAVX2", NOSPLIT, "func(v *int16, vs int, x *uint8, rs, channels int)")
	Pragma("noescape")
	Doc("inputAVX2 is inputGeneric.")
	v, vs, x, rs, pixel := pointer("v"), scaled("vs", 1), pointer("x"), pointer("rs"), pointer("channels")
	rs3, pixel3, vs3 := three(rs), three(pixel), three(vs)
	left := GP64()
	MOVQ(pixel, left)
	Label("channel")
	at := func(row, column int) reg.VecVirtual {
		m := Mem{Base: x}
		switch row {
		case 1, 2:
			m.Index, m.Scale = rs, uint8(row)
		case 3:
			m.Index, m.Scale = rs3, 1
		}
		if column > 0 { // an address has room for one index only
			base := GP64()
			switch column {
			case 1, 2:
				LEAQ(Mem{Base: x, Index: pixel, Scale: uint8(column)}, base)
			case 3:
				LEAQ(Mem{Base: x, Index: pixel3, Scale: 1}, base)
			}
			m.Base = base
		}
		d := YMM()
		VPMOVZXBW(m, d)
		return d
	}
	minus := func(x, y reg.VecVirtual) reg.VecVirtual {
		z := YMM()
		VPSUBW(y, x, z)
		return z
	}
	plus := func(x, y reg.VecVirtual) reg.VecVirtual {
		z := YMM()
		VPADDW(y, x, z)
		return z
	}
	once := [4]func(d func(i int) reg.VecVirtual) reg.VecVirtual{
		func(d func(i int) reg.VecVirtual) reg.VecVirtual { return minus(d(0), d(2)) },
		func(d func(i int) reg.VecVirtual) reg.VecVirtual { return plus(d(1), d(2)) },
		func(d func(i int) reg.VecVirtual) reg.VecVirtual { return minus(d(2), d(1)) },
		func(d func(i int) reg.VecVirtual) reg.VecVirtual { return minus(d(1), d(3)) },
	}
	to := GP64()
	MOVQ(v, to)
	for i, combine := range once {
		var half [4]reg.VecVirtual
		for j := range half {
			half[j] = combine(func(row int) reg.VecVirtual { return at(row, j) })
		}
		for j, combine := range once {
			m := Mem{Base: to}
			switch j {
			case 1, 2:
				m.Index, m.Scale = vs, uint8(j)
			case 3:
				m.Index, m.Scale = vs3, 1
			}
			VMOVDQU(combine(func(k int) reg.VecVirtual { return half[k] }), m)
		}
		if i < 3 {
			LEAQ(Mem{Base: to, Index: vs, Scale: 4}, to)
		}
	}
	ADDQ(Imm(16), x)
	ADDQ(Imm(32), v)
	SUBQ(Imm(16), left)
	JNZ(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// winogradProducts writes the product of a block: for each panel tall tiles of n rows by 16 columns, then low ones of a
// row less.
func winogradProducts(n int) {
	name := fmt.Sprintf("products%dAVX2", n)
	TEXT(name, NOSPLIT, "func(m *int32, ms int, v *int16, vs, k int, u *int16, panels, tall, low int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is Winograd.Multiply with tiles of 16 columns, the tall ones of %d rows.", name, n))
	local := AllocLocal(3 * 8)
	at := product{local, local.Offset(8), local.Offset(16)}
	SHLQ(Imm(1), param("vs"))
	SHLQ(Imm(2), param("ms"))
	SHRQ(Imm(1), param("k"))
	Label("panel")
	move(at.m, param("m"))
	move(at.v, param("v"))
	move(at.left, param("tall"))
	winogradProduct(n, "Tall", at)
	if n > 1 {
		left := pointer("low")
		TESTQ(left, left)
		JZ(LabelRef("done"))
		MOVQ(left, at.left)
		winogradProduct(n-1, "Low", at)
		Label("done")
	}
	panel := pointer("k")
	SHLQ(Imm(6), panel)
	ADDQ(panel, param("u"))
	ADDQ(number(64), param("m"))
	DECQ(param("panels"))
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}

// product is what stays in memory: where the next tile is, and how many of its height are left.
type product struct{ m, v, left Mem }

// winogradProduct writes the loop over products of n rows: two accumulators for each row; in a step a pair of input
// channels of each meets two vectors of weights.
func winogradProduct(n int, id string, p product) {
	Label("tile" + id)
	vs, u := pointer("vs"), pointer("u")
	bases := []reg.GPVirtual{load(p.v)}
	{
		after := GP64()
		IMUL3Q(Imm(uint64(n)), vs, after)
		ADDQ(bases[0], after)
		MOVQ(after, p.v)
	}
	if n > 3 {
		next := GP64()
		LEAQ(Mem{Base: bases[0], Index: three(vs), Scale: 1}, next)
		bases = append(bases, next)
	}
	at := func(tile, disp int) Mem {
		m := Mem{Base: bases[tile/3], Disp: disp}
		if tile%3 > 0 {
			m.Index, m.Scale = vs, uint8(tile%3)
		}
		return m
	}
	acc := make([][2]reg.VecVirtual, n)
	for t := range acc {
		for i := range acc[t] {
			acc[t][i] = YMM()
			VPXOR(acc[t][i], acc[t][i], acc[t][i])
		}
	}
	step := func(i int) {
		weight := [2]reg.VecVirtual{YMM(), YMM()}
		for j := range weight {
			VMOVDQU(Mem{Base: u, Disp: 64*i + 32*j}, weight[j])
		}
		x, product := YMM(), YMM()
		for t := range acc {
			VPBROADCASTD(at(t, 4*i), x)
			for j := range weight {
				VPMADDWD(weight[j], x, product)
				VPADDD(product, acc[t][j], acc[t][j])
			}
		}
	}
	advance := func(steps int) {
		for _, base := range bases {
			ADDQ(number(4*steps), base)
		}
		ADDQ(number(64*steps), u)
	}
	left := pointer("k")
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
	JZ(LabelRef("store" + id))
	Label("single" + id)
	step(0)
	advance(1)
	DECQ(left)
	JNZ(LabelRef("single" + id))
	Label("store" + id)
	m, ms := load(p.m), pointer("ms")
	for t := range acc {
		for j := range acc[t] {
			VMOVDQU(acc[t][j], Mem{Base: m, Disp: 32 * j})
		}
		ADDQ(ms, m)
	}
	MOVQ(m, p.m)
	DECQ(p.left)
	JNZ(LabelRef("tile" + id))
}

// winogradOutput transforms eight channels at a time back, and finishes each of the four sums.
func winogradOutput() {
	TEXT("outputAVX2", NOSPLIT, "func(y *uint8, rs, channels, rows, columns int, m *int32, ms int, "+
		"mul, bias *float32, residual *uint8, residualMul float32)")
	Pragma("noescape")
	Doc("outputAVX2 is outputGeneric.")
	m, ms := pointer("m"), scaled("ms", 2)
	ms3 := three(ms)
	done := GP64() // channels
	XORQ(done, done)
	Label("channel")
	var half [2][4]reg.VecVirtual
	var rows [4][4]Mem // by row and column of the tile
	var starts [4]reg.GPVirtual
	for i := range rows {
		starts[i] = GP64()
		if i == 0 {
			MOVQ(m, starts[i])
		} else {
			LEAQ(Mem{Base: starts[i-1], Index: ms, Scale: 4}, starts[i])
		}
		for j := range rows[i] {
			rows[i][j] = Mem{Base: starts[i]}
			switch j {
			case 1, 2:
				rows[i][j].Index, rows[i][j].Scale = ms, uint8(j)
			case 3:
				rows[i][j].Index, rows[i][j].Scale = ms3, 1
			}
		}
	}
	for j := range 4 {
		first, second := YMM(), YMM()
		VMOVDQU(rows[1][j], first)
		VMOVDQU(rows[2][j], second)
		half[0][j], half[1][j] = add(first, second), sub(first, second)
		VPADDD(rows[0][j], half[0][j], half[0][j])
		VPSUBD(rows[3][j], half[1][j], half[1][j])
	}
	// Weights are four times too large.
	y, residual := pointer("y"), pointer("residual")
	ADDQ(done, y)
	rs, pixel := pointer("rs"), pointer("channels")
	mul, bias := pointer("mul"), pointer("bias")
	factor := param("residualMul")
	for i := range half {
		CMPQ(param("rows"), Imm(uint64(i)))
		JLE(LabelRef("next"))
		h := half[i]
		sums := [2]reg.VecVirtual{add(add(h[0], h[1]), h[2]), sub(sub(h[1], h[2]), h[3])}
		for j, sum := range sums {
			id := fmt.Sprintf("%d%d", i, j)
			if j > 0 {
				CMPQ(param("columns"), Imm(uint64(j)))
				JLE(LabelRef("row" + fmt.Sprint(i)))
			}
			VPSRAD(Imm(2), sum, sum)
			VCVTDQ2PS(sum, sum)
			VMULPS(Mem{Base: mul, Index: done, Scale: 4}, sum, sum)
			VADDPS(Mem{Base: bias, Index: done, Scale: 4}, sum, sum)
			to := GP64()
			MOVQ(y, to)
			if j > 0 {
				ADDQ(pixel, to)
			}
			TESTQ(residual, residual)
			JZ(LabelRef("store" + id))
			off := GP64() // the residual has y's layout
			MOVQ(to, off)
			SUBQ(param("y"), off)
			r, f := YMM(), YMM()
			VPMOVZXBD(Mem{Base: residual, Index: off, Scale: 1}, r)
			VCVTDQ2PS(r, r)
			VBROADCASTSS(factor, f)
			VMULPS(f, r, r)
			VADDPS(r, sum, sum)
			Label("store" + id)
			storeBytes(sum, Mem{Base: to})
		}
		Label("row" + fmt.Sprint(i))
		ADDQ(rs, y)
	}
	Label("next")
	ADDQ(Imm(32), m)
	ADDQ(Imm(8), done)
	CMPQ(done, pixel)
	JLT(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// param is a parameter's place on the stack, for use without a register.
func param(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
