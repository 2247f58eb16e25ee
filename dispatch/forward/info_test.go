package forward

import (
	"math"
	"strings"
	"testing"
)

// TestSlots checks how many images a replica gets depending on its /info.
func TestSlots(t *testing.T) {
	t.Parallel()
	tests := []struct {
		info info
		want int
	}{
		{info{Concurrency: 2, Queue: 16}, 4},
		{info{Concurrency: 8, Queue: 16}, 16},
		{info{Concurrency: 8, Queue: 1}, 9},
		{info{Concurrency: 1}, 1},
		{info{}, 7}, // reports nothing
		{info{Queue: 16}, 7},
		{info{Concurrency: 2, Queue: -100}, 2},
		{info{Concurrency: -3, Queue: 100}, 7},
		{info{Concurrency: 1024, Queue: 1024}, 2048},
		{info{Concurrency: 1025, Queue: 1025}, 2048},
		{info{Concurrency: math.MaxInt, Queue: math.MaxInt}, 2048},
	}
	for _, test := range tests {
		if got := test.info.bounded().slots(7); got != test.want {
			t.Errorf("slots of %+v = %d, want %d", test.info, got, test.want)
		}
	}
}

func TestTakesBody(t *testing.T) {
	t.Parallel()
	if (info{}).takesBody() || !(info{Concurrency: 1}).takesBody() {
		t.Error("an image is sent as a body to a replica that does not say its concurrency, or in a form to one that does")
	}
}

func TestTextsOfInfoAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 257)
	got := info{Weights: long, Precision: long, Warning: long}.bounded()
	if want := (info{Weights: long[:256], Precision: long[:256], Warning: long[:256]}); got != want {
		t.Errorf("bounded = %d, %d and %d bytes, want 256 each", len(got.Weights), len(got.Precision), len(got.Warning))
	}
	usual := info{Weights: "resnet18-f37072fd", Precision: "int8", Concurrency: 4, Queue: 16, Warning: "random weights"}
	if got := usual.bounded(); got != usual {
		t.Errorf("bounded = %+v, want %+v", got, usual)
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"", ""}, {"abcd", "abcd"}, {"abcde", "abcd"}, {"abcé", "abc"}, {"abéd", "abé"}, {"é€", "é"},
	} {
		if got := clip(test.in, 4); got != test.want {
			t.Errorf("clip(%q, 4) = %q, want %q", test.in, got, test.want)
		}
	}
}
