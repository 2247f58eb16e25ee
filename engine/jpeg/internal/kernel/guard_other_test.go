//go:build !unix

package kernel

import "testing"

// newGuard has no faulting page here: the margin alone must do.
func newGuard(_ testing.TB, n int) *guard {
	mem := make([]byte, 64+n)
	return &guard{margin: mem[:64], data: mem[64:]}
}
