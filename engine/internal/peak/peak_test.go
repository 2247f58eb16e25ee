package peak

import (
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// TestLoops runs every loop that this CPU can, and checks that a level without one of its own has that of a level below.
func TestLoops(t *testing.T) {
	t.Parallel()
	for _, level := range cpu.Levels() {
		for name, find := range map[string]func(cpu.Level) (Loop, bool){"fp32": FP32, "bf16": BF16, "int8": Int8} {
			l, ok := find(level)
			if !ok {
				t.Logf("%s: no loop in %s", level, name)
				continue
			}
			l.Run(3)
			if l.MACs < 1 {
				t.Errorf("%s, %s: %d multiplications", level, name, l.MACs)
			}
		}
		assembly := len(fp32) > 0
		if _, ok := FP32(level); ok != (assembly && (level.Includes(cpu.AVX2) || level.Includes(cpu.NEON))) {
			t.Errorf("FP32(%s) = %t", level, ok)
		}
		if _, ok := BF16(level); ok != level.Includes(cpu.BF16) {
			t.Errorf("BF16(%s) = %t", level, ok)
		}
		if _, ok := Int8(level); ok != (assembly && (level.Includes(cpu.AVX2) || level.Includes(cpu.DotProd))) {
			t.Errorf("Int8(%s) = %t", level, ok)
		}
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"peak_amd64.s", "peak_arm64.s"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			kerneltest.Encodings(t, file)
		})
	}
}
