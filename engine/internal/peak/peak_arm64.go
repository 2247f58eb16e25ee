// The functions here are written by _neon.

//go:build !purego

package peak

// fmaNEON multiplies 28 vectors of four floats in each turn.
func fmaNEON(turns int)

// dotNEON multiplies 28 vectors of 16 bytes in each turn.
func dotNEON(turns int)

// matrixNEON multiplies 28 pairs of 2x8 matrices in each turn.
func matrixNEON(turns int)

// bf16NEON multiplies 28 pairs of 2x4 matrices in each turn.
func bf16NEON(turns int)
