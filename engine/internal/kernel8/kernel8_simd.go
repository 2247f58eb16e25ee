//go:build !purego && (amd64 || arm64)

package kernel8

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

type poolFunc func(y, r0, r1, r2 *uint8, columns int)

// wrap gives assembly functions the signatures of the Go ones.
func wrap(level cpu.Level, channels int, packing packing, tiles convolveFunc, pool poolFunc) Set {
	return Set{Level: level, Channels: channels, packing: packing, tiles: tiles,
		round:   roundGeneric, // only levels with F4 need more
		maxPool: func(y, r0, r1, r2 []uint8, columns int) { pool(&y[0], &r0[0], &r1[0], &r2[0], columns) },
	}
}

// first is where a slice begins; nil for a nil slice.
func first(s []uint8) *uint8 {
	if s == nil {
		return nil
	}
	return &s[0]
}
