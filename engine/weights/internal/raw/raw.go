// Package raw turns the bytes of tensors, as weight files store them, into numbers. All formats store them
// little-endian and row by row; where the machine agrees and the bytes are aligned nothing is copied.
package raw

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// DType is the type of a tensor's elements in a file, spelled as safetensors spells it.
type DType string

// The types that become numbers here. Everything else is refused, or left out where it is no weight.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I8   DType = "I8"
)

// Size is the bytes of one element; zero for a type that no format we read has.
func (d DType) Size() int {
	switch d {
	case "C128":
		return 16
	case F64, "I64", "U64", "C64":
		return 8
	case F32, "I32", "U32":
		return 4
	case F16, BF16, "I16", "U16":
		return 2
	case I8, "U8", "BOOL", "F8_E4M3", "F8_E5M2":
		return 1
	}
	return 0
}

// IsFloat reports whether Floats reads the type.
func (d DType) IsFloat() bool {
	return d == F32 || d == F16 || d == BF16 || d == F64
}

// MaxElements bounds one tensor, and a file's tensors together: ten times what ResNet-18 has.
const MaxElements = 128 << 20

// maxDims is more dimensions than any weight has.
const maxDims = 8

// Elements multiplies a shape's dimensions out, refusing negative ones, too many and too large ones: shapes
// come from outside and say how much memory is taken.
func Elements(shape []int) (int, error) {
	if len(shape) > maxDims {
		return 0, fmt.Errorf("has %d dimensions, want at most %d", len(shape), maxDims)
	}
	n := uint64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("has a negative dimension in %v", shape)
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > MaxElements {
			return 0, fmt.Errorf("has shape %v, more than %d elements", shape, MaxElements)
		}
		n = lo
	}
	return int(n), nil
}

// littleEndian reports whether this machine stores numbers as the files do.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Floats reads b as elements of type d. The result shares b's memory when d is F32, the machine is
// little-endian and b is aligned; it is never to be written.
func Floats(b []byte, d DType) ([]float32, error) {
	if !d.IsFloat() {
		return nil, fmt.Errorf("has type %s, want one of F32, F16, BF16, F64", d)
	}
	size := d.Size()
	if len(b)%size != 0 {
		return nil, fmt.Errorf("has %d bytes, no whole number of %s", len(b), d)
	}
	n := len(b) / size
	if n == 0 {
		return []float32{}, nil
	}
	if d == F32 && littleEndian && uintptr(unsafe.Pointer(&b[0]))%4 == 0 {
		return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), n), nil
	}
	out := make([]float32, n)
	switch d {
	case F32:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case F64:
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	case BF16:
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
	case F16:
		for i := range out {
			out[i] = half(binary.LittleEndian.Uint16(b[2*i:]))
		}
	}
	return out, nil
}

// half widens an IEEE 754 binary16: 1 sign bit, 5 exponent bits of bias 15, 10 fraction bits.
func half(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent, fraction := uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0: // zero and subnormal numbers: fraction * 2^-24
		f := float32(fraction) * 0x1p-24
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// Int8s reads b as signed bytes, sharing its memory.
func Int8s(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// Bytes is the little-endian form of x. It shares x's memory on little-endian machines and is never to be
// written.
func Bytes(x []float32) []byte {
	if littleEndian {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
	}
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// Int8Bytes is x as bytes, sharing its memory.
func Int8Bytes(x []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// Budget counts the elements that are read from one file. The zero value is ready to use, and safe for concurrent use.
type Budget struct{ spent atomic.Int64 }

// Spend counts n elements that are about to be read; with more than MaxElements it fails.
func (b *Budget) Spend(n int) error {
	if b.spent.Add(int64(n)) > MaxElements {
		return fmt.Errorf("with it more than %d elements are read", MaxElements)
	}
	return nil
}

// Lazy is a tensor of a file whose numbers are not read yet: a checkpoint may hold many times what is needed of it.
type Lazy struct {
	Shape []int
	Float bool // whether the elements are floating-point numbers; others cannot be read
	// Read returns the numbers in row-major order. They may share the file's memory, and are never to be written.
	Read func() ([]float32, error)
}
