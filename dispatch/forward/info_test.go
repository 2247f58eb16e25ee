package forward

import (
	"fmt"
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
		{info{Concurrency: 1024, Queue: 1024}, 2048},
	}
	for _, test := range tests {
		if got := test.info.slots(7); got != test.want {
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

// TestClaimsAreChecked checks which claims of a replica are refused, and that the reason says what is allowed.
func TestClaimsAreChecked(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("x", 256)
	for name, test := range map[string]struct {
		info   info
		reason string
	}{
		"usual":               {info{Weights: "resnet18-f37072fd", Precision: "int8", Concurrency: 4, Queue: 16, Warning: "random weights"}, ""},
		"nothing":             {info{}, ""},
		"at the limits":       {info{Weights: whole, Precision: whole, Warning: whole, Concurrency: 1024, Queue: 1 << 20}, ""},
		"concurrency":         {info{Concurrency: 1025}, "concurrency is 1025, want 0 to 1024"},
		"largest number":      {info{Concurrency: math.MaxInt}, "concurrency is 9223372036854775807"},
		"negative":            {info{Concurrency: -1}, "concurrency is -1"},
		"queue":               {info{Queue: 1<<20 + 1}, "queue is 1048577, want 0 to 1048576"},
		"negative queue":      {info{Queue: -1}, "queue is -1"},
		"weights":             {info{Weights: whole + "x"}, "weights has 257 bytes, want at most 256"},
		"precision":           {info{Precision: whole + "x"}, "precision has 257 bytes"},
		"warning":             {info{Warning: whole + "x"}, "warning has 257 bytes"},
		"bf16 agrees":         {info{Quantization: Quantization{State: "adopted", Precision: "bf16", Compared: 8, Equal: 7, Wanted: 0.95}}, ""},
		"more equal than all": {info{Quantization: Quantization{Compared: 8, Equal: 9}}, "9 equal of 8 images"},
		"negative equal":      {info{Quantization: Quantization{Equal: -1}}, "-1 equal of 0 images"},
		"too many compared":   {info{Quantization: Quantization{Compared: math.MaxInt}}, "0 equal of 9223372036854775807 images"},
		"wants too much":      {info{Quantization: Quantization{Wanted: 1.5}}, "a share of 1.5"},
		"quantization state":  {info{Quantization: Quantization{State: whole + "x"}}, "quantization.state has 257 bytes"},
		"compared precision":  {info{Quantization: Quantization{Precision: whole + "x"}}, "quantization.precision has 257 bytes"},
		"line break in a log": {info{Weights: "w\nlevel=ERROR"}, `weights has control characters: "w\nlevel=ERROR"`},
	} {
		err := test.info.check()
		if got := fmt.Sprint(err); (test.reason == "") != (err == nil) || test.reason != "" && !strings.Contains(got, test.reason) {
			t.Errorf("%s: %v, want %q", name, err, test.reason)
		}
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
