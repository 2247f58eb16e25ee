// The function here is written by _neon.

//go:build arm64 && !purego

package kernel

// shuffleVector writes 16 bytes of dst n times, each being the byte of 16 of src that order names, or zero for 0x80. Each time
// src advances by in bytes and dst by out.
//
//go:noescape
func shuffleVector(dst *byte, src *byte, order *byte, in int, out int, n int)
