package jsqueue

import "testing"

// TestTally checks when a count of waiting jobs is corrected: immediately by differences that local changes cannot
// explain, and by a difference that three consecutive checks find.
func TestTally(t *testing.T) {
	t.Parallel()
	type look struct {
		changes        uint64 // by this process during the check
		counted, truth int64
		want           int64
	}
	tests := map[string][]look{
		"right":                                 {{0, 5, 5, 0}, {0, 5, 5, 0}, {0, 5, 5, 0}, {0, 5, 5, 0}},
		"others have added many":                {{0, 5, 9, 4}},
		"others have taken many":                {{0, 9, 5, -4}},
		"local changes explain it":              {{3, 5, 9, 0}, {3, 5, 1, 0}},
		"local changes do not explain it":       {{3, 5, 10, 5}},
		"off by one, permanently":               {{0, 1, 0, 0}, {0, 1, 0, 0}, {0, 1, 0, -1}, {0, 0, 0, 0}},
		"off by one the other way, permanently": {{0, 3, 4, 0}, {0, 3, 4, 0}, {0, 3, 4, 1}},
		"off by one occasionally":               {{0, 1, 0, 0}, {0, 1, 1, 0}, {0, 1, 0, 0}, {0, 1, 1, 0}, {0, 1, 0, 0}},
		"off by different amounts under load":   {{4, 10, 12, 0}, {4, 20, 21, 0}, {4, 15, 18, 1}},
		"off in both directions under load":     {{4, 10, 12, 0}, {4, 20, 19, 0}, {4, 15, 18, 0}, {4, 15, 17, 0}},
		"a correction restarts the checks":      {{0, 1, 0, 0}, {0, 1, 0, 0}, {0, 1, 0, -1}, {0, 1, 0, 0}, {0, 1, 0, 0}, {0, 1, 0, -1}},
	}
	for name, looks := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tl tally
			for i, l := range looks {
				if got := tl.check(100, 100+l.changes, l.counted, l.truth); got != l.want {
					t.Fatalf("check %d = %d, want %d", i, got, l.want)
				}
			}
		})
	}
}

// TestSettled checks when a check is skipped: only if the last one found an empty lane, and nothing has happened
// since.
func TestSettled(t *testing.T) {
	t.Parallel()
	var tl tally
	if tl.settled(0, 0) {
		t.Error("settled before the first check")
	}
	tl.check(7, 7, 0, 0)
	for name, test := range map[string]struct {
		changes uint64
		counted int64
		want    bool
	}{"nothing happened": {7, 0, true}, "something happened": {8, 0, false}, "jobs wait": {7, 1, false}} {
		if got := tl.settled(test.changes, test.counted); got != test.want {
			t.Errorf("%s: settled = %t", name, got)
		}
	}
	tl.check(7, 7, 0, 1)
	if tl.settled(7, 0) {
		t.Error("settled although the last check found a difference")
	}
}
