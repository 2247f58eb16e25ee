// Command asm writes the AVX2 kernels of JPEG decoding. Run it by `go generate` in the folder above.
//
// Registers of 256 bits work as two lanes of 128 bits that most instructions do not mix. The comments write a
// register's contents as [lane 0][lane 1].
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	next()
	inverseDCT()
	ycbcrToRGB()
	interleaveRGB()
	upsampleH2()
	upsampleV2()
	upsampleH2V2()
	Generate()
}

// words makes a constant of 16-bit numbers, repeated to fill a register.
func words(name string, v ...int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(2*i, U16(uint16(v[i%len(v)])))
	}
	return m
}

// bytes makes a constant of bytes, repeated to fill a register.
func bytes(name string, v ...int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 32 {
		DATA(i, U8(uint8(v[i%len(v)])))
	}
	return m
}

// dwords makes a constant of 32-bit numbers, repeated to fill a register.
func dwords(name string, v int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(uint32(v)))
	}
	return m
}

// at addresses the bytes from base+offset on.
func at(base Register, offset int) Mem { return Mem{Base: base, Disp: offset} }

// indexed addresses the bytes from base+index+offset on.
func indexed(base, index Register, offset int) Mem {
	return Mem{Base: base, Index: index, Scale: 1, Disp: offset}
}

// arg loads a parameter into a register.
func arg(name string) GPVirtual { return Load(Param(name), GP64()).(GPVirtual) }
