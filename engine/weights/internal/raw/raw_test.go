package raw

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestFloatsConverts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		dtype DType
		bytes []byte
		want  float32
	}{
		{"F32", F32, []byte{0, 0, 0x80, 0x3f}, 1},
		{"F64", F64, binary.LittleEndian.AppendUint64(nil, math.Float64bits(-0.1)), -0.1},
		{"BF16", BF16, []byte{0x40, 0xc0}, -3},
		{"F16 one", F16, []byte{0x00, 0x3c}, 1},
		{"F16 largest", F16, []byte{0xff, 0x7b}, 65504},
		{"F16 smallest normal", F16, []byte{0x00, 0x04}, 0x1p-14},
		{"F16 smallest", F16, []byte{0x01, 0x00}, 0x1p-24},
		{"F16 negative third", F16, []byte{0x55, 0xb5}, -0.333251953125},
		{"F16 infinity", F16, []byte{0x00, 0x7c}, float32(math.Inf(1))},
		{"F16 negative zero", F16, []byte{0x00, 0x80}, float32(math.Copysign(0, -1))},
	} {
		got, err := Floats(tt.bytes, tt.dtype)
		if err != nil || len(got) != 1 || math.Float32bits(got[0]) != math.Float32bits(tt.want) {
			t.Errorf("%s: Floats(%x) = %v, %v, want %v", tt.name, tt.bytes, got, err, tt.want)
		}
	}
}

// TestFloatsUnaligned checks that bytes at odd addresses give the same numbers.
func TestFloatsUnaligned(t *testing.T) {
	t.Parallel()
	buf := make([]byte, 64)
	for i := range buf {
		buf[i] = byte(i)
	}
	for at := range 8 {
		got, err := Floats(buf[at:at+8], F32)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			if want := math.Float32frombits(binary.LittleEndian.Uint32(buf[at+4*i:])); g != want {
				t.Errorf("Floats at offset %d: number %d is %v, want %v", at, i, g, want)
			}
		}
	}
}

func TestFloatsRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Floats(make([]byte, 8), "I64"); err == nil {
		t.Error("Floats of I64 gave no error")
	}
	if _, err := Floats(make([]byte, 7), F32); err == nil {
		t.Error("Floats of 7 bytes of F32 gave no error")
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	if n, err := Elements([]int{2, 3, 4}); n != 24 || err != nil {
		t.Errorf("Elements(2, 3, 4) = %d, %v, want 24", n, err)
	}
	if n, err := Elements(nil); n != 1 || err != nil {
		t.Errorf("Elements() = %d, %v, want 1", n, err)
	}
	for _, shape := range [][]int{{-1}, {1 << 40}, {1 << 31, 1 << 31, 1 << 31}, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {-1, -1}} {
		if n, err := Elements(shape); err == nil {
			t.Errorf("Elements(%v) = %d, want an error", shape, n)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	var b Budget
	if err := b.Spend(MaxElements); err != nil {
		t.Error(err)
	}
	if err := b.Spend(1); err == nil {
		t.Error("more than MaxElements elements may be read")
	}
}
