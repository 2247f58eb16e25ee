package dispatch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTurns checks how many turns clients are ahead while their jobs are served, in whatever order.
func TestTurns(t *testing.T) {
	t.Parallel()
	type counts map[string]int
	for name, test := range map[string]struct {
		add, removed counts
		served       int
		after        counts // removed after that
		want         counts
	}{
		"nothing was served":             {add: counts{"a": 40, "b": 1}, want: counts{"a": 40, "b": 1, "c": 0}},
		"alone":                          {add: counts{"a": 40}, served: 39, want: counts{"a": 1}},
		"all were served":                {add: counts{"a": 40, "b": 2}, served: 42, want: counts{"a": 0, "b": 0}},
		"more were served than counted":  {add: counts{"a": 2}, served: 5, want: counts{"a": 0}},
		"two share":                      {add: counts{"a": 40, "b": 40}, served: 20, want: counts{"a": 30, "b": 30}},
		"three share, two of them do":    {add: counts{"a": 40, "b": 10, "c": 40}, served: 40, want: counts{"a": 25, "b": 0, "c": 25}},
		"half a turn is one":             {add: counts{"a": 3, "b": 3}, served: 1, want: counts{"a": 3, "b": 3}},
		"removed jobs need no turn":      {add: counts{"a": 40, "b": 40}, removed: counts{"a": 39}, served: 2, want: counts{"a": 0, "b": 39}},
		"of a job whose turn has passed": {add: counts{"a": 1, "b": 10}, served: 4, after: counts{"a": 1}, want: counts{"a": 0, "b": 6}},
		"of an unknown client":           {removed: counts{"a": 1}, want: counts{"a": 0}},
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
		each(test.after, u.remove)
		for client, want := range test.want {
			if got := u.ahead(client); got != want {
				t.Errorf("%s: %s is %d turns ahead, want %d", name, client, got, want)
			}
		}
	}
}

// TestTurnsKeepCount adds, serves and takes back at random, also jobs whose turn has passed because others were served instead.
// Together, clients are ahead by what waits, and nothing is kept of clients without jobs.
func TestTurnsKeepCount(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var u turns
	var waiting []string // the clients of the jobs that wait
	leave := func() (client string) {
		i := random.IntN(len(waiting))
		client = waiting[i]
		waiting = slices.Delete(waiting, i, i+1)
		return client
	}
	for range 100_000 {
		switch n := random.IntN(8); {
		case n < 4 || len(waiting) == 0:
			client := fmt.Sprint(random.IntN(20))
			u.add(client)
			waiting = append(waiting, client)
		case n < 6:
			leave()
			u.served()
		default:
			u.remove(leave())
		}
		sum := 0.0
		for _, last := range u.last {
			sum += max(0, last-u.now)
		}
		if diff := sum - float64(len(waiting)); diff > 0.01 || diff < -0.01 {
			t.Fatalf("clients are %.3f jobs ahead, %d wait", sum, len(waiting))
		}
	}
	for len(waiting) > 0 {
		leave()
		u.served()
	}
	if len(u.last) > 0 {
		t.Errorf("%d clients are kept: %v", len(u.last), u.last)
	}
}

// TestTurnsForgetWhatWasNotServed takes back all jobs of clients of which none was served, as without replicas.
func TestTurnsForgetWhatWasNotServed(t *testing.T) {
	t.Parallel()
	var u turns
	u.add("waits")
	for i := range 1000 {
		client := fmt.Sprint(i)
		u.add(client)
		u.remove(client)
	}
	if len(u.last) != 1 || u.ahead("waits") != 1 {
		t.Errorf("%d clients are kept, want one; it is %d turns ahead, want 1", len(u.last), u.ahead("waits"))
	}
}
