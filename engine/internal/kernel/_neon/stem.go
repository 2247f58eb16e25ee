package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

// stemInput writes the transform of a row of pixels. Six floats, a pixel of an even place and its right neighbor, are a
// vector and a half; the half holds odd places only.
func stemInput() {
	const v, vs, ts, last, ls, x, tiles = "R0", "R1", "R2", "R3", "R4", "R5", "R6"
	const from, to, word = "R7", "R8", "R9"
	const kept, present, next = 14, 30, 29
	Floats("present", -0.5, -0.5, -0.5, 1)
	Floats("next", 1, 1, 1, 0)
	Text("stemInputNEON", 0, "v", "vs", "ts", "last", "ls", "x", "tiles")
	bytes(vs, ts, ls)
	vector("factors", factors)
	vector("present", present)
	vector("next", next)
	// combine transforms six values, the first at x and so many bytes.
	combine := func(offset int) []int {
		for i := range f4.size {
			Op("ADD $%d, %s, %s", offset+24*i, x, from)
			Op("FMOVQ (%s), F%d", from, i)
		}
		return f4.in()
	}
	Label("tile")
	for i, r := range combine(0) {
		move(kept+i, r)
	}
	const infinity = kept + 5
	Op("FMOVD F%d, (%s)", infinity, last)
	Op("VMOV V%d.S[2], %s", infinity, word)
	Op("MOVW %s, 8(%s)", word, last)
	Op("MOVD %s, %s", v, to)
	for i, r := range combine(24) {
		Fmul4S(kept+i, kept+i, present)
		Fmul4S(r, r, next)
		Fadd4S(r, r, kept+i)
		Op("FMOVQ F%d, (%s)", r, to)
		Op("ADD %s, %s", vs, to)
	}
	Op("ADD $16, %s, %s", v, to)
	for _, r := range combine(16) {
		Op("FMOVD F%d, (%s)", r, to)
		Op("ADD %s, %s", vs, to)
	}
	Op("ADD %s, %s", ts, v)
	Op("ADD %s, %s", ls, last)
	Op("ADD $%d, %s", 4*24, x)
	Op("SUBS $1, %s", tiles)
	Op("BNE tile")
	Op("RET")
}

// stemOutput writes the inverse transform of a row of tiles, four of 64 channels at a time.
func stemOutput() {
	const y, m, ms, bias, tiles = "R0", "R1", "R2", "R3", "R4"
	const at, add, left = "R5", "R6", "R7"
	const halves, zero, last, bvec = 30, 29, 28, 27
	const pixel = 64 * 4
	Floats("halves", 0.5, 0.25, 0.125, 0)
	Text("stemOutputNEON", 0, "y", "m", "ms", "bias", "tiles")
	bytes(ms)
	vector("factors", factors)
	vector("halves", halves)
	Op("VEOR V%d.B16, V%d.B16, V%d.B16", zero, zero, zero)
	Label("tile")
	Op("MOVD %s, %s", bias, add)
	Op("MOVD $16, %s", left)
	Label("channel")
	Op("MOVD %s, %s", m, at)
	f4.loads(at, ms)
	Op("ADD %s, %s", ms, at)
	Op("FMOVQ (%s), F%d", at, last)
	Op("FMOVQ.P 16(%s), F%d", add, bvec)
	for i, r := range f4.out() {
		if i == 0 {
			Fadd4S(r, r, last)
		} else {
			Fmla4SLane(r, last, halves, i-1)
		}
		Fadd4S(r, r, bvec)
		Fmax4S(r, r, zero)
		Op("FMOVQ F%d, %d(%s)", r, pixel*i, y)
	}
	Op("ADD $16, %s", m)
	Op("ADD $16, %s", y)
	Op("SUBS $1, %s", left)
	Op("BNE channel")
	Op("ADD $%d, %s", 3*pixel, y) // a pixel of four is done
	Op("SUBS $1, %s", tiles)
	Op("BNE tile")
	Op("RET")
}

// vector loads one from read-only memory.
func vector(name string, register int) {
	Op("MOVD $%s<>(SB), R20", name)
	Op("FMOVQ (R20), F%d", register)
}
