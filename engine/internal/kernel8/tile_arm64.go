// The functions here are written by _neon.

//go:build !purego

package kernel8

// tileI8MM is tileGeneric for 8 channels, with products of 8-bit matrices.
//
//go:noescape
func tileI8MM(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int, mul, bias *float32, biasStride int,
	residual *uint8, residualMul float32)

// tileDotProd is tileGeneric for 8 channels, with 8-bit dot products.
//
//go:noescape
func tileDotProd(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int, mul, bias *float32, biasStride int,
	residual *uint8, residualMul float32)

// tileNEON is tileGeneric for 4 channels.
//
//go:noescape
func tileNEON(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int, mul, bias *float32, biasStride int,
	residual *uint8, residualMul float32)

// maxPoolNEON is maxPoolGeneric.
//
//go:noescape
func maxPoolNEON(y, r0, r1, r2 *uint8, columns int)
