package forward

import "testing"

// TestAliveSince checks when an endpoint is alive during an attempt that takes too long.
func TestAliveSince(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, after uint64
		misses        int
		want          bool
	}{
		"probes answered":        {7, 9, 0, true},
		"too few":                {7, 8, 0, false},
		"the latest is missing":  {7, 30, 1, false},
		"none since the attempt": {7, 7, 2, false},
	} {
		e := endpoint{probes: test.after, health: health{misses: test.misses}}
		if got := e.aliveSince(test.before); got != test.want {
			t.Errorf("%s: alive %t, want %t", name, got, test.want)
		}
	}
}
