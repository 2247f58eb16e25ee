//go:build !purego && (amd64 || arm64)

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

type (
	inputFunc  func(v *float32, vs int, x *float32, rs, channels int)
	outputFunc func(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)
	poolFunc   func(y, r0, r1, r2 *float32, columns, channels int)

	stemInputFunc  func(v *float32, vs, ts int, last *float32, ls int, x *float32, tiles int)
	stemOutputFunc func(y, m *float32, ms int, bias *float32, tiles int)
)

// wrap gives assembly functions the signatures of the Go ones.
func wrap(level cpu.Level, mr, nr int, multiply multiplyFunc, inputs [algorithms]inputFunc, outputs [algorithms]outputFunc, pool poolFunc,
	stemInput stemInputFunc, stemOutput stemOutputFunc) Set {
	s := Set{Level: level, MR: mr, NR: nr, multiply: multiply}
	for i := range inputs {
		if inputs[i] == nil {
			continue
		}
		s.input[i] = func(v []float32, vs int, x []float32, rs, channels int) {
			inputs[i](&v[0], vs, &x[0], rs, channels)
		}
		s.output[i] = func(o Outputs) {
			outputs[i](&o.Y[0], o.RowStride, o.Channels, o.Rows, o.Columns, &o.Sums[0], o.SumStride, &o.Bias[0], first(o.Residual), flag(o.ReLU))
		}
	}
	s.stemInput = func(v []float32, vs, ts int, last []float32, ls int, x []float32, tiles int) {
		stemInput(&v[0], vs, ts, &last[0], ls, &x[0], tiles)
	}
	s.stemOutput = func(y, m []float32, ms int, bias []float32, tiles int) { stemOutput(&y[0], &m[0], ms, &bias[0], tiles) }
	s.maxPool = func(y, r0, r1, r2 []float32, columns, channels int) {
		pool(&y[0], &r0[0], &r1[0], &r2[0], columns, channels)
	}
	return s
}

// first is where a slice begins; nil for a nil slice.
func first(s []float32) *float32 {
	if s == nil {
		return nil
	}
	return &s[0]
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
