package dispatch

import (
	"fmt"
	"testing"
)

// TestWatchesAreBounded checks how many streams one client and all together may have.
func TestWatchesAreBounded(t *testing.T) {
	t.Parallel()
	var w watches
	var leaves []func()
	join := func(client string, want bool) {
		t.Helper()
		leave, ok := w.join(client)
		if ok != want {
			t.Fatalf("join(%q) = %t with %d streams, want %t", client, ok, len(leaves), want)
		}
		if ok {
			leaves = append(leaves, leave)
		}
	}
	for range maxWatchesOfClient {
		join("shop", true)
	}
	join("shop", false)
	for i := range maxWatches - maxWatchesOfClient {
		join(fmt.Sprint("client ", i), true)
	}
	join("late", false)
	for _, leave := range leaves {
		leave()
	}
	if w.all != 0 || len(w.of) != 0 {
		t.Errorf("%d streams and %d clients after all have left", w.all, len(w.of))
	}
	leaves = nil
	join("shop", true)
}

func TestSeen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		n    int
		want string // as bits
	}{
		{"", 3, "000"}, {"05", 3, "101"}, {"FF", 3, "111"}, {"0501", 3, "000"}, {"x5", 3, "000"}, {"0002", 10, "0000000001"}, {"ff03", 10, "1111111111"},
	} {
		s, got := parseSeen(test.text, test.n), ""
		for i := range test.n {
			if s.has(i) {
				got += "1"
			} else {
				got += "0"
			}
		}
		if all := s.all(test.n); got != test.want || all != (test.want == "111" || test.want == "1111111111") {
			t.Errorf("parseSeen(%q, %d) = %s, all %t, want %s", test.text, test.n, got, all, test.want)
		}
	}
	s := parseSeen("", 9)
	s.add(8)
	if !s.has(8) || s.has(0) || s.all(9) {
		t.Errorf("after adding the ninth: %x", []byte(s))
	}
}
