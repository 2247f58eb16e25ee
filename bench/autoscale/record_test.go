package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
)

// TestStarts counts who starts at the same time: those asked for at once, and those that were not up yet.
func TestStarts(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	at := func(from, to time.Duration, served bool) *life {
		return &life{began.Add(from * time.Millisecond), began.Add(to * time.Millisecond), served}
	}
	got := starts(map[string]*life{
		"alone": at(0, 1000, true), "one of two": at(2000, 5000, true), "the other": at(2010, 4000, true), "late": at(4500, 7000, true), "in vain": at(4600, 6000, false),
	})
	want := []sim.Start{{Together: 1, Took: time.Second}, {Together: 2, Took: 1990 * time.Millisecond}, {Together: 2, Took: 2500 * time.Millisecond},
		{Together: 2, Took: 3 * time.Second}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
}

// TestKeep checks that runs of other policies stay under the same settings, and go under others.
func TestKeep(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "testdata", "live.json")
	keep := func(seed uint64, policy string, offered int) []run {
		t.Helper()
		r, err := record{settings{Seed: seed, Network: time.Duration(offered)}, []run{{policy, outcome{Offered: offered}}}}.keep(path)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := readRecord(path); err != nil || !cmp.Equal(r.Runs, again.Runs) {
			t.Errorf("readRecord: %+v, %v, want %+v", again.Runs, err, r.Runs)
		}
		return r.Runs
	}
	keep(1, "kpa", 5)
	keep(1, "deadline", 6)
	want := []run{{"deadline", outcome{Offered: 6}}, {"kpa", outcome{Offered: 7}}}
	if diff := cmp.Diff(want, keep(1, "kpa", 7)); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]run{{"kpa", outcome{Offered: 8}}}, keep(2, "kpa", 8)); diff != "" {
		t.Errorf("runs under other settings (-want +got):\n%s", diff)
	}
}

// TestRecorded checks that simulations of the recorded live runs come near enough to them.
func TestRecorded(t *testing.T) {
	t.Parallel()
	r, err := readRecord(filepath.Join("testdata", "live.json"))
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := r.simulate()
	if err != nil {
		t.Fatal(err)
	}
	if table, ok := r.table(pairs); !ok || len(pairs) != 3 {
		t.Errorf("want three policies, simulated near to life:\n%s", table)
	}
}
