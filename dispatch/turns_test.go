package dispatch

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestTurns checks how many turns clients are ahead while their jobs are served, in whatever order.
func TestTurns(t *testing.T) {
	t.Parallel()
	type counts map[string]int
	for name, test := range map[string]struct {
		add, removed counts
		served       int
		want         counts
	}{
		"nothing was served":            {add: counts{"a": 40, "b": 1}, want: counts{"a": 40, "b": 1, "c": 0}},
		"alone":                         {add: counts{"a": 40}, served: 39, want: counts{"a": 1}},
		"all were served":               {add: counts{"a": 40, "b": 2}, served: 42, want: counts{"a": 0, "b": 0}},
		"more were served than counted": {add: counts{"a": 2}, served: 5, want: counts{"a": 0}},
		"two share":                     {add: counts{"a": 40, "b": 40}, served: 20, want: counts{"a": 30, "b": 30}},
		"three share, two of them do":   {add: counts{"a": 40, "b": 10, "c": 40}, served: 40, want: counts{"a": 25, "b": 0, "c": 25}},
		"half a turn is one":            {add: counts{"a": 3, "b": 3}, served: 1, want: counts{"a": 3, "b": 3}},
		"removed jobs need no turn":     {add: counts{"a": 40, "b": 40}, removed: counts{"a": 39}, served: 2, want: counts{"a": 0, "b": 39}},
		"of an unknown client":          {removed: counts{"a": 1}, want: counts{"a": 0}},
	} {
		var u turns
		each := func(n counts, do func(string)) {
			for client, n := range n {
				for range n {
					do(client)
				}
			}
		}
		each(test.add, u.add)
		each(test.removed, u.remove)
		for range test.served {
			u.served()
		}
		for client, want := range test.want {
			if got := u.ahead(client); got != want {
				t.Errorf("%s: %s is %d turns ahead, want %d", name, client, got, want)
			}
		}
	}
}

// TestTurnsKeepCount adds and serves at random. Together, clients are ahead by what waits, and nothing is kept of clients
// without jobs.
func TestTurnsKeepCount(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var u turns
	waiting := 0
	for range 100_000 {
		if random.IntN(2) == 0 || waiting == 0 {
			u.add(fmt.Sprint(random.IntN(20)))
			waiting++
		} else {
			u.served()
			waiting--
		}
		sum := 0.0
		for _, last := range u.last {
			sum += max(0, last-u.now)
		}
		if diff := sum - float64(waiting); diff > 0.01 || diff < -0.01 {
			t.Fatalf("clients are %.3f jobs ahead, %d wait", sum, waiting)
		}
	}
	for range waiting + 1 {
		u.served()
	}
	if len(u.last) > 0 {
		t.Errorf("%d clients are kept: %v", len(u.last), u.last)
	}
}
