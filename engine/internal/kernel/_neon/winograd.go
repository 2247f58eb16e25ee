package main

import (
	. "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"
)

// winograd is a minimal algorithm in two dimensions, the product of two one-dimensional ones; see package kernel.
type winograd struct {
	name          string
	rows, columns minimal
}

// minimal is a one-dimensional algorithm: in transforms size pixels, out so many sums to outputs. Both take the registers
// from 0 up, and return where the results are. The two-dimensional transforms are columns, then rows.
type minimal struct {
	size, outputs int
	in, out       func() []int
}

var algorithms = []winograd{{"2", f2, f2}, {"4", f4, f4}, {"4x2", f4, f2}, {"Stride2", stride2, stride2}}

// Lanes of the register of factors.
const (
	factors = 31

	two   = 0
	four  = 1
	five  = 2
	eight = 3
)

var f2 = minimal{4, 2,
	func() []int {
		Fsub4S(6, 0, 2)
		Fadd4S(7, 1, 2)
		Fsub4S(8, 2, 1)
		Fsub4S(9, 1, 3)
		return []int{6, 7, 8, 9}
	},
	func() []int {
		Fadd4S(6, 0, 1)
		Fadd4S(6, 6, 2)
		Fsub4S(7, 1, 2)
		Fsub4S(7, 7, 3)
		return []int{6, 7}
	},
}

var f4 = minimal{6, 4,
	func() []int {
		const t0, even, odd, near, far, t1, t2, t3 = 6, 7, 8, 9, 10, 11, 12, 13
		move(t0, 4)
		Fmls4SLane(t0, 2, factors, five)
		Fmla4SLane(t0, 0, factors, four)
		Fmls4SLane(5, 3, factors, five)
		Fmla4SLane(5, 1, factors, four)
		move(even, 4)
		Fmls4SLane(even, 2, factors, four)
		move(odd, 3)
		Fmls4SLane(odd, 1, factors, four)
		Fsub4S(near, 4, 2)
		Fsub4S(far, 3, 1)
		Fadd4S(t1, even, odd)
		Fsub4S(t2, even, odd)
		move(t3, near)
		Fmla4SLane(t3, far, factors, two)
		Fmls4SLane(near, far, factors, two)
		return []int{t0, t1, t2, t3, near, 5}
	},
	func() []int {
		const sum1, difference1, sum2, difference2, t0, t1, t3 = 6, 7, 8, 9, 10, 11, 12
		Fadd4S(sum1, 1, 2)
		Fsub4S(difference1, 1, 2)
		Fadd4S(sum2, 3, 4)
		Fsub4S(difference2, 3, 4)
		Fadd4S(t0, 0, sum1)
		Fadd4S(t0, t0, sum2)
		move(t1, difference1)
		Fmla4SLane(t1, difference2, factors, two)
		Fmla4SLane(sum1, sum2, factors, four)
		Fadd4S(t3, difference1, 5)
		Fmla4SLane(t3, difference2, factors, eight)
		return []int{t0, t1, sum1, t3}
	},
}

// stride2 takes pixels of odd places, which are the first of a tile and every second from there, through F(2,2), and
// passes the others on behind them.
var stride2 = minimal{5, 2,
	func() []int {
		Fsub4S(6, 0, 2)
		Fsub4S(7, 4, 2)
		return []int{6, 2, 7, 1, 3}
	},
	func() []int {
		Fadd4S(6, 0, 1)
		Fadd4S(6, 6, 3)
		Fadd4S(7, 1, 2)
		Fadd4S(7, 7, 4)
		return []int{6, 7}
	},
}

// loads reads the vectors of one transform, stride bytes apart (in a register); it moves the register at.
func (m minimal) loads(at, stride string) {
	for i := range m.size {
		Op("FMOVQ (%s), F%d", at, i)
		if i < m.size-1 {
			Op("ADD %s, %s", stride, at)
		}
	}
}

// verticals writes the first half of either transform: columns of vectors at from, next bytes apart (in a register), their
// rows down bytes apart, become columns of scratch memory.
func (w winograd) verticals(transform func() []int, from, next, down, scratch string) {
	const column, at = "R20", "R21"
	size := w.columns.size
	Op("MOVD %s, %s", from, column)
	for j := range size {
		Op("MOVD %s, %s", column, at)
		w.rows.loads(at, down)
		for i, r := range transform() {
			Op("FMOVQ F%d, %d(%s)", r, 16*(i*size+j), scratch)
		}
		if j < size-1 {
			Op("ADD %s, %s", next, column)
		}
	}
}

// row reads row i of scratch memory.
func (w winograd) row(i int, scratch string) {
	size := w.columns.size
	for j := range size {
		Op("FMOVQ %d(%s), F%d", 16*(i*size+j), scratch, j)
	}
}

// begin writes the start of a transform, with scratch memory for so many vectors.
func (w winograd) begin(name string, scratch string, vectors int, params ...string) {
	Text(name+w.name+"NEON", 16*vectors, params...)
	Op("MOVD $scratch-%d(SP), %s", 16*vectors, scratch)
	vector("factors", factors)
}

// input writes the transform of one tile of pixels, four channels at a time.
func (w winograd) input() {
	const v, vs, x, rs, channels = "R0", "R1", "R2", "R3", "R4"
	const pixel, to, scratch = "R5", "R6", "R19"
	w.begin("input", scratch, w.rows.size*w.columns.size, "v", "vs", "x", "rs", "channels")
	bytes(vs, rs)
	Op("LSL $2, %s, %s", channels, pixel)
	Label("channel")
	w.verticals(w.rows.in, x, pixel, rs, scratch)
	Op("MOVD %s, %s", v, to)
	for i := range w.rows.size {
		w.row(i, scratch)
		for _, r := range w.columns.in() {
			Op("FMOVQ F%d, (%s)", r, to)
			Op("ADD %s, %s", vs, to)
		}
	}
	Op("ADD $16, %s", x)
	Op("ADD $16, %s", v)
	Op("SUBS $4, %s", channels)
	Op("BNE channel")
	Op("RET")
}

// output writes the inverse transform of one tile, with what follows a convolution, four channels at a time.
func (w winograd) output() {
	const y, rs, channels, rows, columns, m, ms, bias, residual, relu = "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9"
	const down, pixel, to, toRow, from, fromRow, scratch = "R10", "R11", "R12", "R13", "R14", "R15", "R19"
	const floor, bvec, sum = 30, 29, 28 // the least of outputs, the bias, a residual
	w.begin("output", scratch, w.rows.outputs*w.columns.size, "y", "rs", "channels", "rows", "columns", "m", "ms", "bias", "residual", "relu")
	bytes(rs, ms)
	Op("LSL $2, %s, %s", channels, pixel)
	Op("MOVD $%d, %s", w.columns.size, down)
	Op("MUL %s, %s", ms, down)
	Op("MOVD $0xFF800000, R20") // minus infinity
	Op("CMP $0, %s", relu)
	Op("CSEL NE, ZR, R20, R20")
	Op("VDUP R20, V%d.S4", floor)
	Label("channel")
	w.verticals(w.rows.out, m, ms, down, scratch)
	Op("FMOVQ.P 16(%s), F%d", bias, bvec)
	Op("MOVD %s, %s", y, toRow)
	Op("MOVD %s, %s", residual, fromRow)
	for i := range w.rows.outputs {
		w.row(i, scratch)
		Op("MOVD %s, %s", toRow, to)
		Op("MOVD %s, %s", fromRow, from)
		for j, r := range w.columns.out() {
			Fadd4S(r, r, bvec)
			Op("CBZ %s, plain%d%d", residual, i, j)
			Op("FMOVQ (%s), F%d", from, sum)
			Fadd4S(r, r, sum)
			Label("plain%d%d", i, j)
			Fmax4S(r, r, floor)
			Op("FMOVQ F%d, (%s)", r, to)
			if j < w.columns.outputs-1 {
				Op("CMP $%d, %s", j+1, columns)
				Op("BEQ row%d", i)
				Op("ADD %s, %s", pixel, to)
				Op("ADD %s, %s", pixel, from)
			}
		}
		Label("row%d", i)
		if i < w.rows.outputs-1 {
			Op("CMP $%d, %s", i+1, rows)
			Op("BEQ done")
			Op("ADD %s, %s", rs, toRow)
			Op("ADD %s, %s", rs, fromRow)
		}
	}
	Label("done")
	Op("ADD $16, %s", m)
	Op("ADD $16, %s", y)
	Op("CBZ %s, nothing", residual)
	Op("ADD $16, %s", residual)
	Label("nothing")
	Op("SUBS $4, %s", channels)
	Op("BNE channel")
	Op("RET")
}
