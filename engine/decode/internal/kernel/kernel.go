// Package kernel holds the inner loops of package decode. One turns pixels of whole bytes into RGB, for BMP, PNG and lossless WebP. The
// others are those of WebP. Of its lossy form (RFC 6386) they read coefficients, transform them, predict and filter samples, and convert
// them to RGB as libwebp does by default: chroma is interpolated (src/dsp/upsampling.c), and color converted in fixed point
// (src/dsp/yuv.h). Of the lossless form (RFC 9649) they invert transforms. Each has a form in plain Go, which is the reference, and for
// AVX2 a vector form with identical results; the first one for NEON too.
//
// Functions panic if slices do not fit together, and never read or write outside of them.
package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

//go:generate sh -c "cd _asm && go run . -out ../vector_amd64.s -stubs ../vector_amd64.go -pkg kernel"
//go:generate sh -c "go run ./_neon > vector_arm64.s"

// simd turns the vector forms on.
var simd = func() bool {
	level, err := cpu.Best()
	return hasSIMD && err == nil && level != cpu.Generic
}()

// Levels lists the levels this machine can run: plain Go and, where there are vector forms, theirs. The last one is in use
// from the start, unless the environment variable RESNET18_CPU asks for generic or an unknown level.
func Levels() []cpu.Level {
	if hasSIMD {
		return []cpu.Level{cpu.Generic, simdLevel}
	}
	return []cpu.Level{cpu.Generic}
}

// Use switches to one of Levels. It is for tests, and not for concurrent use with kernels.
func Use(level cpu.Level) { simd = hasSIMD && level == simdLevel }

// YUVToRGB converts a row of len(y) pixels.
func YUVToRGB(dst, y, u, v []byte) {
	n := len(y)
	yuvToRGB(dst[:3*n], y, u[:n], v[:n])
}

// Upsample makes a row of chroma, twice as wide as the two rows of at least one sample between which it lies: near is
// weighted 3, far 1, in both directions.
func Upsample(dst, near, far []byte) {
	n := len(near)
	if n < 1 {
		panic("kernel: row too short")
	}
	dst, far = dst[:2*n], far[:n]
	// At the edges chroma is interpolated along the column only.
	dst[0] = byte((3*int(near[0]) + int(far[0]) + 2) >> 2)
	dst[2*n-1] = byte((3*int(near[n-1]) + int(far[n-1]) + 2) >> 2)
	upsample(dst[1:2*n-1], near, far)
}
