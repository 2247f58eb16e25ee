package dispatch

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// listStore is a store whose list of unfinished requests may fail.
type listStore struct {
	store.Store
	records []store.Record
	err     error
	looks   int
}

func (s *listStore) Unfinished(context.Context) ([]store.Record, error) {
	s.looks++
	return s.records, s.err
}

// TestStartsOfAFailingStore checks that streams do not each wait for a store that fails, one after the other.
func TestStartsOfAFailingStore(t *testing.T) {
	t.Parallel()
	var s starts
	from := &listStore{records: []store.Record{{ID: "a", Status: resnet18cloud.StatusProcessing}, {ID: "b", Status: resnet18cloud.StatusQueued}}}
	if begun := s.get(t.Context(), from, noon); len(begun) != 1 || begun["a"].ID != "a" {
		t.Errorf("begun are %v", begun)
	}
	from.err = errors.New("no answer")
	for range maxWatches {
		if begun := s.get(t.Context(), from, noon.Add(time.Second)); len(begun) != 1 {
			t.Errorf("while the store fails: %v, want what was known", begun)
		}
	}
	if from.looks != 2 {
		t.Errorf("%d looks for %d streams, want 2", from.looks, maxWatches)
	}
	from.err, from.records = nil, nil
	if begun := s.get(t.Context(), from, noon.Add(time.Second+startsInterval)); len(begun) != 0 {
		t.Errorf("when the store answers again: %v", begun)
	}
}

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

// FuzzSeen checks the ID of an event from a client: it means at most the requests of the stream, reads as it was written, and
// adding to it changes one bit.
func FuzzSeen(f *testing.F) {
	for _, text := range []string{"", "05", "FF", "0501", "x5", "ff03", "not an id of ours"} {
		f.Add(text, uint16(10), uint16(3))
	}
	f.Fuzz(func(t *testing.T, text string, n, i uint16) {
		n = n%1000 + 1
		i %= n
		s := parseSeen(text, int(n))
		if len(s) != int(n+7)/8 {
			t.Fatalf("%d bytes for %d requests", len(s), n)
		}
		before := hex.EncodeToString(s)
		if again := parseSeen(before, int(n)); hex.EncodeToString(again) != before {
			t.Errorf("%s reads as %x", before, []byte(again))
		}
		s.add(int(i))
		after := parseSeen(hex.EncodeToString(s), int(n))
		for k := range int(n) {
			if want := parseSeen(before, int(n)).has(k) || k == int(i); after.has(k) != want {
				t.Errorf("of %s with %d: %d is %t", before, i, k, !want)
			}
		}
		for k := range int(n) {
			s.add(k)
		}
		if !s.all(int(n)) {
			t.Errorf("of %s with all: not all", before)
		}
	})
}
