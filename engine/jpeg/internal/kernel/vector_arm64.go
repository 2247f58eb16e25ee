// The functions here are written by _neon.

//go:build arm64 && !purego

package kernel

// inverseDCTVector is inverseDCTGeneric.
//
//go:noescape
func inverseDCTVector(dst *byte, stride int, block *int16, quant *uint16)

// ycbcrToRGBVector is ycbcrToRGBGeneric for n pixels, n a multiple of 32.
//
//go:noescape
func ycbcrToRGBVector(dst *byte, y *byte, cb *byte, cr *byte, n int)

// interleaveVector is interleaveGeneric for n pixels, n a multiple of 32.
//
//go:noescape
func interleaveVector(dst *byte, red *byte, green *byte, blue *byte, n int)

// upsampleH2Vector writes dst[0:2n] from src[-1:n+1] as upsampleH2Generic does for inner samples, n a multiple of 32.
//
//go:noescape
func upsampleH2Vector(dst *byte, src *byte, n int)

// upsampleV2Vector is upsampleV2Generic for n samples, n a multiple of 32.
//
//go:noescape
func upsampleV2Vector(dst *byte, near *byte, far *byte, n int, bias int)

// upsampleH2V2Vector writes dst[0:2n] from near[-1:n+1] and far[-1:n+1] as upsampleH2V2Generic does for inner samples,
// n a multiple of 16.
//
//go:noescape
func upsampleH2V2Vector(dst *byte, near *byte, far *byte, n int)
