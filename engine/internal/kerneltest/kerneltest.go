// Package kerneltest supports tests of assembly: it runs them at every level of this CPU, allocates memory whose end
// faults when touched, and checks instructions that are written as numbers with a disassembler.
package kerneltest

import (
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

// Each runs a test in plain Go and once for each level that kernels were written for and this CPU has; it logs the
// others. The tests run in parallel.
func Each(t *testing.T, written []cpu.Level, test func(t *testing.T, level cpu.Level)) {
	t.Helper()
	for _, level := range append([]cpu.Level{cpu.Generic}, written...) {
		if !slices.Contains(cpu.Levels(), level) {
			t.Logf("this CPU cannot run %s: not tested", level)
			continue
		}
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			test(t, level)
		})
	}
}

// number is what kernels work on.
type number interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~int32 | ~uint32 | ~float32
}

// Region is memory at whose end a page begins that faults when it is read or written.
type Region[T number] struct {
	all   []T // up to that page
	used  int
	guard T
}

// margin is the number of elements before a slice that are watched.
const margin = 64

// NewRegion makes a region for slices of up to size elements, filled with guard, until the test ends.
func NewRegion[T number](tb testing.TB, size int, guard T) *Region[T] {
	tb.Helper()
	r := &Region[T]{all: allocate[T](tb, size+margin), guard: guard}
	for i := range r.all {
		r.all[i] = guard
	}
	return r
}

// Slice returns the last n elements, each of them guard, as are the elements before them. Slices that were returned
// before must no longer be used.
func (r *Region[T]) Slice(n int) []T {
	r.used = n
	last := r.all[len(r.all)-n-margin:]
	for i := range last {
		last[i] = r.guard
	}
	return last[margin:]
}

// Copy is Slice with the elements of x.
func (r *Region[T]) Copy(x []T) []T {
	s := r.Slice(len(x))
	copy(s, x)
	return s
}

// Check fails the test, with the name of what was called, when elements before the slice have been written.
func (r *Region[T]) Check(t testing.TB, called string) {
	t.Helper()
	for i, v := range r.all[len(r.all)-r.used-margin : len(r.all)-r.used] {
		if v != r.guard {
			t.Fatalf("%s wrote %d before a slice of %d", called, margin-i, r.used)
		}
	}
}
