package neonasm

// Here are the instructions that Go's assembler lacks, encoded as the Arm Architecture Reference Manual says in C7.2,
// and a few of its own under their manual's order of operands: d = n op m.

// Half says which half of a register of narrow numbers an instruction reads or writes.
type Half int

// The halves; the manual marks instructions on the upper one with a 2.
const (
	Low  Half = 0
	High Half = 1
)

func (h Half) suffix() string { return [...]string{"", "2"}[h] }

// narrow is the arrangement of 16-bit numbers, of 8-bit numbers, in the half.
func (h Half) words() string { return [...]string{"4h", "8h"}[h] }
func (h Half) bytes() string { return [...]string{"8b", "16b"}[h] }

// three encodes an instruction on three registers.
func three(code, d, n, m int) int { return code | m<<16 | n<<5 | d }

// SmullLane multiplies four 16-bit numbers by lane i of m, one of V0-V15, to 32 bits; SmlalLane adds that to d.
func SmullLane(h Half, d, n, m, i int) {
	word(lane(0x0F40A000, h, d, n, m, i), "smull%s v%d.4s, v%d.%s, v%d.h[%d]", h.suffix(), d, n, h.words(), m, i)
}

// SmlalLane is SmullLane added to d.
func SmlalLane(h Half, d, n, m, i int) {
	word(lane(0x0F402000, h, d, n, m, i), "smlal%s v%d.4s, v%d.%s, v%d.h[%d]", h.suffix(), d, n, h.words(), m, i)
}

func lane(code int, h Half, d, n, m, i int) int {
	return three(code|int(h)<<30|(i>>1&1)<<21|(i&1)<<20|(i>>2)<<11, d, n, m)
}

// Mul8H multiplies 16-bit numbers, keeping 16 bits.
func Mul8H(d, n, m int) { word(three(0x4E609C00, d, n, m), "mul v%d.8h, v%d.8h, v%d.8h", d, n, m) }

// Sshll4S widens four signed 16-bit numbers and shifts them left.
func Sshll4S(h Half, d, n, shift int) {
	word(0x0F00A400|int(h)<<30|(16+shift)<<16|n<<5|d, "sshll%s v%d.4s, v%d.%s, #%d", h.suffix(), d, n, h.words(), shift)
}

// Sshr4S shifts signed 32-bit numbers right.
func Sshr4S(d, n, shift int) {
	word(0x4F000400|(64-shift)<<16|n<<5|d, "sshr v%d.4s, v%d.4s, #%d", d, n, shift)
}

// Sqxtn4S narrows signed 32-bit numbers to 16 with saturation.
func Sqxtn4S(h Half, d, n int) {
	word(0x0E614800|int(h)<<30|n<<5|d, "sqxtn%s v%d.%s, v%d.4s", h.suffix(), d, h.words(), n)
}

// Sqxtn8H narrows signed 16-bit numbers to 8 with saturation.
func Sqxtn8H(h Half, d, n int) {
	word(0x0E214800|int(h)<<30|n<<5|d, "sqxtn%s v%d.%s, v%d.8h", h.suffix(), d, h.bytes(), n)
}

// Sqxtun8H narrows signed 16-bit numbers to 8 unsigned with saturation.
func Sqxtun8H(h Half, d, n int) {
	word(0x2E212800|int(h)<<30|n<<5|d, "sqxtun%s v%d.%s, v%d.8h", h.suffix(), d, h.bytes(), n)
}

// Rshrn4S shifts 32-bit numbers right with rounding and keeps 16 bits.
func Rshrn4S(h Half, d, n, shift int) {
	word(0x0F008C00|int(h)<<30|(32-shift)<<16|n<<5|d, "rshrn%s v%d.%s, v%d.4s, #%d", h.suffix(), d, h.words(), n, shift)
}

// Rshrn8H shifts 16-bit numbers right with rounding and keeps 8 bits.
func Rshrn8H(h Half, d, n, shift int) {
	word(0x0F008C00|int(h)<<30|(16-shift)<<16|n<<5|d, "rshrn%s v%d.%s, v%d.8h, #%d", h.suffix(), d, h.bytes(), n, shift)
}

// Shrn8H is Rshrn8H without rounding.
func Shrn8H(h Half, d, n, shift int) {
	word(0x0F008400|int(h)<<30|(16-shift)<<16|n<<5|d, "shrn%s v%d.%s, v%d.8h, #%d", h.suffix(), d, h.bytes(), n, shift)
}

// Widen8H makes 16-bit numbers of a half of 16 bytes.
func Widen8H(h Half, d, n int) {
	Op("VUXTL%s V%d.%s, V%d.H8", h.suffix(), n, [...]string{"B8", "B16"}[h], d)
}

// Add works on integer lanes of the given arrangement, in Go's notation: d = n + m.
func Add(lanes string, d, n, m int) { Op("VADD V%d.%s, V%d.%s, V%d.%s", m, lanes, n, lanes, d, lanes) }

// Sub is d = n - m.
func Sub(lanes string, d, n, m int) { Op("VSUB V%d.%s, V%d.%s, V%d.%s", m, lanes, n, lanes, d, lanes) }

// Fmla4SLane adds n times lane i of m to d, in floats; the product is not rounded.
func Fmla4SLane(d, n, m, i int) {
	word(three(0x4F801000|(i&1)<<21|(i>>1)<<11, d, n, m), "fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, i)
}

// Fmls4SLane subtracts n times lane i of m from d.
func Fmls4SLane(d, n, m, i int) {
	word(three(0x4F805000|(i&1)<<21|(i>>1)<<11, d, n, m), "fmls v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, i)
}

// Fadd4S is d = n + m in floats.
func Fadd4S(d, n, m int) { word(three(0x4E20D400, d, n, m), "fadd v%d.4s, v%d.4s, v%d.4s", d, n, m) }

// Fsub4S is d = n - m.
func Fsub4S(d, n, m int) { word(three(0x4EA0D400, d, n, m), "fsub v%d.4s, v%d.4s, v%d.4s", d, n, m) }

// Fmax4S is the larger of either.
func Fmax4S(d, n, m int) { word(three(0x4E20F400, d, n, m), "fmax v%d.4s, v%d.4s, v%d.4s", d, n, m) }

// Fmul4S is d = n * m in floats.
func Fmul4S(d, n, m int) { word(three(0x6E20DC00, d, n, m), "fmul v%d.4s, v%d.4s, v%d.4s", d, n, m) }

// Scvtf4S makes floats of signed 32-bit numbers.
func Scvtf4S(d, n int) { word(three(0x4E21D800, d, n, 0), "scvtf v%d.4s, v%d.4s", d, n) }

// Fcvtns4S rounds floats to the nearest signed 32-bit numbers, halves to even, with saturation.
func Fcvtns4S(d, n int) { word(three(0x4E21A800, d, n, 0), "fcvtns v%d.4s, v%d.4s", d, n) }

// Smull8H multiplies eight signed bytes to 16 bits.
func Smull8H(h Half, d, n, m int) {
	word(three(0x0E20C000|int(h)<<30, d, n, m), "smull%s v%d.8h, v%d.%s, v%d.%s", h.suffix(), d, n, h.bytes(), m, h.bytes())
}

// Sadalp4S adds pairs of neighboring signed 16-bit numbers of n to the 32-bit numbers of d.
func Sadalp4S(d, n int) { word(three(0x4E606800, d, n, 0), "sadalp v%d.4s, v%d.8h", d, n) }

// Sdot4SLane adds to each of four sums the products of four signed bytes of n with those in lane i of m (FEAT_DotProd).
func Sdot4SLane(d, n, m, i int) {
	word(three(0x4F80E000|(i&1)<<21|(i>>1)<<11, d, n, m), "sdot v%d.4s, v%d.16b, v%d.4b[%d]", d, n, m, i)
}

// Usmmla4S adds to a 2x2 matrix the product of two rows of eight unsigned bytes in n with two of signed bytes in m
// (FEAT_I8MM).
func Usmmla4S(d, n, m int) {
	word(three(0x4E80AC00, d, n, m), "usmmla v%d.4s, v%d.16b, v%d.16b", d, n, m)
}

// Bfcvtn8H rounds four floats to bf16, to a half of d. That on the lower half clears the upper one (FEAT_BF16).
func Bfcvtn8H(h Half, d, n int) {
	word(three(0x0EA16800|int(h)<<30, d, n, 0), "bfcvtn%s v%d.%s, v%d.4s", h.suffix(), d, h.words(), n)
}

// Bfmmla4S adds to a 2x2 matrix of floats the product of two rows of four bf16 in n with two in m (FEAT_BF16).
func Bfmmla4S(d, n, m int) {
	word(three(0x6E40EC00, d, n, m), "bfmmla v%d.4s, v%d.8h, v%d.8h", d, n, m)
}
