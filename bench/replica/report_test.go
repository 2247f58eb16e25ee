//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
)

// TestReport checks that each precision's servers are compared with its first, in the same rounds.
func TestReport(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := report(&b, []*measured{
		{command{precision: "fp32", name: "ours"}, []float64{60, 30, 66}, 4, 4},
		{command{precision: "fp32", name: "other"}, []float64{30, 10, 22}, 3, 4},
		{command{precision: "int8", name: "ours"}, []float64{90}, 4, 4},
		{command{precision: "int8", name: "other"}, []float64{60}, 2, 4},
	}); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(b.String()) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"| fp32 | ours | 60.0 | 1.00 times as many | 1.00 to 1.00 | 100.0 % |",
		"| fp32 | other | 22.0 | 3.00 times as many | 3.00 to 3.00 | 75.0 % |",
		"| int8 | other | 60.0 | 1.50 times as many | 1.50 to 1.50 | 50.0 % |",
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("no row %s in\n%s", want, b.String())
		}
	}
}
