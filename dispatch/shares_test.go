package dispatch

import (
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

// TestLanesOfUsage checks from how many lanes the next job may come.
func TestLanesOfUsage(t *testing.T) {
	t.Parallel()
	const all = queue.Lanes
	replicas := func(workers, inFlight int) usage {
		return usage{slots: 2 * workers, workers: workers, inFlight: inFlight}
	}
	beside := func(u usage, small, recent int) usage { u.small, u.recent = small, recent; return u }
	turn := func(u usage, first int) usage { u.passed, u.first = queue.Share-1, first; return u }
	for name, test := range map[string]struct {
		usage usage
		want  int
	}{
		"no replicas":                        {usage{}, 0},
		"nobody else":                        {replicas(8, 15), all},
		"all slots in use":                   {replicas(8, 16), 0},
		"a client from time to time":         {beside(replicas(8, 7), 1, 32), all},
		"no job ahead of it":                 {beside(replicas(8, 8), 1, 32), 1},
		"just below a quarter":               {beside(replicas(8, 7), 7, 32), all},
		"a quarter":                          {beside(replicas(8, 6), 8, 32), 1},
		"two workers are free for it":        {beside(replicas(8, 5), 8, 32), all},
		"only small clients":                 {beside(replicas(8, 6), 32, 32), 1},
		"all slots in use by small clients":  {beside(replicas(8, 16), 32, 32), 0},
		"two workers":                        {beside(replicas(2, 1), 16, 32), 1},
		"two workers, both free":             {beside(replicas(2, 0), 16, 32), all},
		"one worker":                         {beside(replicas(1, 0), 16, 32), all},
		"one worker, busy":                   {beside(replicas(1, 1), 16, 32), 1},
		"many workers":                       {beside(replicas(1500, 1479), 16, 32), all},
		"many workers, busy":                 {beside(replicas(1500, 1480), 16, 32), 1},
		"no slot that waits":                 {beside(usage{slots: 4, workers: 4, inFlight: 3}, 16, 32), 1},
		"more workers than slots":            {beside(usage{slots: 2, workers: 4, inFlight: 1}, 16, 32), all},
		"a turn of later lanes":              {turn(beside(replicas(8, 7), 16, 32), 0), all},
		"a turn, all busy":                   {turn(beside(replicas(8, 8), 16, 32), 0), 1},
		"a turn, too many of the first lane": {turn(beside(replicas(8, 15), 16, 32), 1), all},
		"not their turn":                     {usage{slots: 16, workers: 8, inFlight: 15, first: 1, passed: queue.Share - 2, small: 16, recent: 32}, 1},
	} {
		if got := test.usage.lanes(); got != test.want {
			t.Errorf("%s: %d lanes of %+v, want %d", name, got, test.usage, test.want)
		}
	}
}

func TestReserved(t *testing.T) {
	t.Parallel()
	for workers, want := range map[int]int{0: 0, 1: 1, 2: 1, 4: 1, 5: 2, 8: 2, 16: 2, 17: 3, 64: 4, 1500: 20} {
		if got := reserved(workers); got != want {
			t.Errorf("reserved(%d) = %d, want %d", workers, got, want)
		}
	}
}

// TestRecentClients checks which of the jobs taken lately are of small clients.
func TestRecentClients(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	nobody := func(string) bool { return false }
	var jobs takenJobs
	check := func(what string, now time.Time, behind func(string) bool, recent, small, passed int) {
		t.Helper()
		if r, s := jobs.count(now, behind); r != recent || s != small || jobs.passed != passed {
			t.Errorf("%s: %d recent, %d small, %d passed, want %d, %d, %d", what, r, s, jobs.passed, recent, small, passed)
		}
	}
	check("nothing", noon, nobody, 0, 0, 0)
	jobs.add("a", 0, noon)
	jobs.add("b", 0, noon.Add(time.Second))
	jobs.add("b", 0, noon.Add(time.Second))
	check("two clients", noon.Add(time.Second), nobody, 3, 3, 3)
	check("b has others waiting", noon.Add(time.Second), func(client string) bool { return client == "b" }, 3, 1, 3)
	jobs.add("b", 1, noon.Add(time.Second))
	check("b has a later one", noon.Add(time.Second), nobody, 4, 1, 0)
	check("a was too long ago", noon.Add(2*time.Second), nobody, 3, 0, 0)
	check("all are too long ago", noon.Add(3*time.Second), nobody, 0, 0, 0)
	for range 2 * recentJobs {
		jobs.add("c", 0, noon.Add(4*time.Second))
	}
	check("the last jobs only", noon.Add(4*time.Second), nobody, recentJobs, recentJobs, 2*recentJobs)
}
