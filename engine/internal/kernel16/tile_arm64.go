// The functions here are written by _neon.

//go:build !purego

package kernel16

// tile1BF16 is tileGeneric with M = 1.
//
//go:noescape
func tile1BF16(c *float32, cs int, a *float32, as, rs, rows, k int, b *uint16, bias, residual *float32, relu int)

// tile2BF16 is tileGeneric with M = 2.
//
//go:noescape
func tile2BF16(c *float32, cs int, a *float32, as, rs, rows, k int, b *uint16, bias, residual *float32, relu int)

// tile3BF16 is tileGeneric with M = 3.
//
//go:noescape
func tile3BF16(c *float32, cs int, a *float32, as, rs, rows, k int, b *uint16, bias, residual *float32, relu int)

// tile4BF16 is tileGeneric with M = 4.
//
//go:noescape
func tile4BF16(c *float32, cs int, a *float32, as, rs, rows, k int, b *uint16, bias, residual *float32, relu int)

// tile5BF16 is tileGeneric with M = 5.
//
//go:noescape
func tile5BF16(c *float32, cs int, a *float32, as, rs, rows, k int, b *uint16, bias, residual *float32, relu int)

// tile6BF16 is tileGeneric with M = 6.
//
//go:noescape
func tile6BF16(c *float32, cs int, a *float32, as, rs, rows, k int, b *uint16, bias, residual *float32, relu int)
