package model

import (
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	files := []string{"a", "b", "c", "d", "e"}
	for n, want := range map[int][]string{1: {"a"}, 2: {"a", "c"}, 5: files, 9: files} {
		chosen, others := choose(files, n)
		if !slices.Equal(chosen, want) || len(chosen)+len(others) != len(files) {
			t.Errorf("choose %d: %q and %q, want %q chosen", n, chosen, others, want)
		}
	}
}

func TestQuantizeNeedsImages(t *testing.T) {
	t.Parallel()
	if _, err := Quantize(t.Context(), QuantizeConfig{}); err == nil {
		t.Error("no images to calibrate with: no error")
	}
}
