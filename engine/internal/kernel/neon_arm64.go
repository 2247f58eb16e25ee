// The functions here are written by _neon.

//go:build !purego

package kernel

// tile1NEON is tileGeneric with M = 1.
//
//go:noescape
func tile1NEON(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int)

// tile2NEON is tileGeneric with M = 2.
//
//go:noescape
func tile2NEON(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int)

// tile3NEON is tileGeneric with M = 3.
//
//go:noescape
func tile3NEON(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int)

// tile4NEON is tileGeneric with M = 4.
//
//go:noescape
func tile4NEON(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int)

// tile5NEON is tileGeneric with M = 5.
//
//go:noescape
func tile5NEON(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int)

// tile6NEON is tileGeneric with M = 6.
//
//go:noescape
func tile6NEON(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int)

// input2NEON is inputGeneric of F2.
//
//go:noescape
func input2NEON(v *float32, vs int, x *float32, rs, channels int)

// output2NEON is outputGeneric of F2.
//
//go:noescape
func output2NEON(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)

// input4NEON is inputGeneric of F4.
//
//go:noescape
func input4NEON(v *float32, vs int, x *float32, rs, channels int)

// output4NEON is outputGeneric of F4.
//
//go:noescape
func output4NEON(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)

// maxPoolNEON is maxPoolGeneric.
//
//go:noescape
func maxPoolNEON(y, r0, r1, r2 *float32, columns, channels int)

// input4x2NEON is inputGeneric of F4x2.
//
//go:noescape
func input4x2NEON(v *float32, vs int, x *float32, rs, channels int)

// output4x2NEON is outputGeneric of F4x2.
//
//go:noescape
func output4x2NEON(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)

// inputStride2NEON is inputGeneric of Stride2.
//
//go:noescape
func inputStride2NEON(v *float32, vs int, x *float32, rs, channels int)

// outputStride2NEON is outputGeneric of Stride2.
//
//go:noescape
func outputStride2NEON(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)

// stemInputNEON is stemInputGeneric.
//
//go:noescape
func stemInputNEON(v *float32, vs, ts int, last *float32, ls int, x *float32, tiles int)

// stemOutputNEON is stemOutputGeneric.
//
//go:noescape
func stemOutputNEON(y, m *float32, ms int, bias *float32, tiles int)
