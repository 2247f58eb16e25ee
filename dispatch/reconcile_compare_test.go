package dispatch

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

func TestSuspicious(t *testing.T) {
	t.Parallel()
	alone := testLimits
	alone.heartbeatTimeout = 0
	tests := map[string]struct {
		limits     limits
		status     resnet18cloud.Status
		generation int
		queued     time.Duration // before noon
		started    time.Duration // before noon
		want       bool
	}{
		"just queued":                     {testLimits, "queued", 0, 3*time.Second - 1, 0, false},
		"queued":                          {testLimits, "queued", 0, 3 * time.Second, 0, true},
		"just restarted":                  {testLimits, "queued", 1, 23*time.Second - 1, 0, false},
		"restarted":                       {testLimits, "queued", 1, 23 * time.Second, 0, true},
		"may be at another dispatcher":    {testLimits, "processing", 0, time.Minute, 13*time.Second - 1, false},
		"was at another dispatcher":       {testLimits, "processing", 0, time.Minute, 13 * time.Second, true},
		"restarted and taken":             {testLimits, "processing", 1, 20 * time.Second, 13 * time.Second, true},
		"just taken, no other dispatcher": {alone, "processing", 0, time.Minute, 3*time.Second - 1, false},
		"dispatcher is gone":              {alone, "processing", 0, time.Minute, 3 * time.Second, true},
		"queued by a fast clock":          {testLimits, "queued", 0, -time.Minute, 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := store.Record{Status: test.status, Generation: test.generation, QueuedAt: noon.Add(-test.queued), StartedAt: noon.Add(-test.started)}
			if got := test.limits.needsJobCheck(r, noon); got != test.want {
				t.Errorf("needsJobCheck = %t, want %t", got, test.want)
			}
		})
	}
}

// TestCompare runs sequences of comparisons, two seconds apart.
func TestCompare(t *testing.T) {
	t.Parallel()
	type step struct {
		records, jobs, held string   // one letter per ID
		lost, orphans       []string // findings
	}
	tests := map[string][]step{
		"nothing":                                   {{}, {}},
		"balanced":                                  {{"ab", "ab", "", nil, nil}, {"ab", "ab", "", nil, nil}},
		"a job is gone":                             {{"ab", "b", "", nil, nil}, {"ab", "b", "", []string{"a"}, nil}},
		"it stays gone until it ends":               {{"a", "", "", nil, nil}, {"a", "", "", []string{"a"}, nil}, {"a", "", "", []string{"a"}, nil}, {"", "", "", nil, nil}},
		"one incomplete answer":                     {{"ab", "", "", nil, nil}, {"ab", "ab", "", nil, nil}, {"ab", "", "", nil, nil}, {"ab", "ab", "", nil, nil}},
		"gone twice, but not in a row":              {{"a", "", "", nil, nil}, {"a", "a", "", nil, nil}, {"a", "", "", nil, nil}},
		"gone, but in flight here":                  {{"a", "", "a", nil, nil}, {"a", "", "a", nil, nil}, {"a", "", "a", nil, nil}},
		"gone, then no longer in flight":            {{"a", "", "a", nil, nil}, {"a", "", "", nil, nil}, {"a", "", "", []string{"a"}, nil}},
		"the oldest first":                          {{"cab", "", "", nil, nil}, {"cab", "", "", []string{"a", "b", "c"}, nil}},
		"a job without record":                      {{"", "x", "", nil, nil}, {"", "x", "", nil, []string{"x"}}},
		"record appears before the next comparison": {{"", "x", "", nil, nil}, {"x", "x", "", nil, nil}},
		"jobs that come and go":                     {{"", "x", "", nil, nil}, {"", "y", "", nil, nil}, {"", "z", "", nil, nil}},
		"both":                                      {{"a", "yx", "", nil, nil}, {"a", "yx", "", []string{"a"}, []string{"x", "y"}}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b reconcileState
			now := noon
			for i, s := range steps {
				v := snapshot{jobs: letters(s.jobs), held: letters(s.held), now: now}
				for _, id := range s.records {
					// In alphabetical order, and old enough.
					v.unfinished = append(v.unfinished, store.Record{ID: string(id), QueuedAt: noon.Add(-time.Hour + time.Duration(id)*time.Second)})
				}
				lost, orphans := b.compare(v, limits{})
				var ids []string
				for _, r := range lost {
					ids = append(ids, r.ID)
				}
				if diff := cmp.Diff(s.lost, ids); diff != "" {
					t.Errorf("step %d: lost (-want +got):\n%s", i, diff)
				}
				if diff := cmp.Diff(s.orphans, orphans); diff != "" {
					t.Errorf("step %d: without record (-want +got):\n%s", i, diff)
				}
				now = now.Add(reconcileInterval)
			}
		})
	}
}

func letters(text string) map[string]struct{} {
	ids := map[string]struct{}{}
	for _, id := range text {
		ids[string(id)] = struct{}{}
	}
	return ids
}

// TestCompareLeavesYoungRecords checks that a record too young to be sure to have a job does not count as missing its
// job.
func TestCompareLeavesYoungRecords(t *testing.T) {
	t.Parallel()
	var b reconcileState
	r := store.Record{ID: "a", QueuedAt: noon}
	for i, want := range []int{0, 0, 1} {
		now := noon.Add(lostGrace + time.Duration(i-1)*reconcileInterval)
		if lost, _ := b.compare(snapshot{unfinished: []store.Record{r}, now: now}, limits{}); len(lost) != want {
			t.Errorf("%s after it was queued %d are lost, want %d", now.Sub(noon), len(lost), want)
		}
	}
}

// TestCompareForgetsFinalRecords checks that a job whose record is final waits for its delivery, and its record is
// not read again.
func TestCompareForgetsFinalRecords(t *testing.T) {
	t.Parallel()
	var b reconcileState
	v := snapshot{jobs: letters("x"), now: noon}
	b.compare(v, limits{})
	if _, orphans := b.compare(v, limits{}); len(orphans) != 1 {
		t.Fatalf("without record: %v, want x", orphans)
	}
	b.orphaned["x"] = true // as adopt does
	for range 2 {
		if _, orphans := b.compare(v, limits{}); len(orphans) != 0 {
			t.Errorf("without record: %v, want none", orphans)
		}
	}
	b.compare(snapshot{now: noon}, limits{})
	b.compare(v, limits{})
	if _, orphans := b.compare(v, limits{}); len(orphans) != 1 {
		t.Error("a job that has come back is not looked at")
	}
}
