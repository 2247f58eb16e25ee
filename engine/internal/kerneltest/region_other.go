//go:build !unix

package kerneltest

import "testing"

const faults = false

// allocate has no faulting page here: the margin alone must do.
func allocate[T number](_ testing.TB, n int) []T { return make([]T, n) }
