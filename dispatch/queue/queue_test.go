package queue_test

import (
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

func TestDedupID(t *testing.T) {
	t.Parallel()
	for generation, want := range map[int]string{0: "id", 1: "id.1", 12: "id.12"} {
		if got := queue.DedupID(resnet18cloud.Job{ID: "id", Generation: generation}); got != want {
			t.Errorf("DedupID of generation %d = %q, want %q", generation, got, want)
		}
	}
}

func interactive(lane int) queue.Class {
	return queue.Class{Priority: resnet18cloud.PriorityInteractive, Lane: lane}
}
func bulk(lane int) queue.Class {
	return queue.Class{Priority: resnet18cloud.PriorityBulk, Lane: lane}
}

// TestClasses checks that classes and their numbers correspond, and that a job always has a class.
func TestClasses(t *testing.T) {
	t.Parallel()
	for i := range queue.Classes {
		c := queue.ClassAt(i)
		if c.Index() != i {
			t.Errorf("ClassAt(%d) = %v, whose number is %d", i, c, c.Index())
		}
		if got := queue.ClassOf(resnet18cloud.Job{Priority: c.Priority, Lane: c.Lane}); got != c {
			t.Errorf("a job of class %v has class %v", c, got)
		}
	}
	for _, test := range []struct {
		job  resnet18cloud.Job
		want queue.Class
	}{
		{resnet18cloud.Job{}, interactive(0)},
		{resnet18cloud.Job{Priority: "urgent", Lane: -1}, interactive(0)},
		{resnet18cloud.Job{Priority: resnet18cloud.PriorityBulk, Lane: 100}, bulk(queue.Lanes - 1)},
	} {
		if got := queue.ClassOf(test.job); got != test.want {
			t.Errorf("ClassOf(%+v) = %v, want %v", test.job, got, test.want)
		}
	}
}

// TestLane checks that a client's lane follows from what it has waiting, and what it would have waiting if clients were
// served in turn.
func TestLane(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ waiting, ahead, want int }{
		{0, 0, 0}, {1, 1, 0}, {2, 2, 1}, {15, 15, 1}, {16, 16, 2}, {100, 100, 2}, // nobody else is served
		{2, 1, 0}, {100, 1, 0}, {100, 2, 2}, {15, 2, 1}, // others were served instead
		{1, 15, 0}, {1, 63, 0}, {2, 63, 1}, {15, 63, 1}, {0, 64, 2}, {15, 64, 2}, // it was served instead of others
	} {
		if got := queue.Lane(test.waiting, test.ahead); got != test.want {
			t.Errorf("Lane(%d, %d) = %d, want %d", test.waiting, test.ahead, got, test.want)
		}
	}
}

// TestTurns checks who is served while several classes always have jobs: of eight deliveries one goes to the later
// class, and so on within it.
func TestTurns(t *testing.T) {
	t.Parallel()
	const n = 8 * 8 * 8
	for name, test := range map[string]struct {
		waiting []queue.Class
		want    []int // deliveries of n
	}{
		"both priorities":       {[]queue.Class{interactive(0), bulk(0)}, []int{n * 7 / 8, n / 8}},
		"two lanes":             {[]queue.Class{interactive(0), interactive(1)}, []int{n * 7 / 8, n / 8}},
		"the outer lanes":       {[]queue.Class{interactive(0), interactive(2)}, []int{n * 7 / 8, n / 8}},
		"three lanes":           {[]queue.Class{interactive(0), interactive(1), interactive(2)}, []int{n * 7 / 8, n * 7 / 64, n / 64}},
		"bulk of a lower lane":  {[]queue.Class{interactive(2), bulk(0)}, []int{n * 7 / 8, n / 8}},
		"lanes of bulk":         {[]queue.Class{bulk(0), bulk(1)}, []int{n * 7 / 8, n / 8}},
		"lanes in a priority":   {[]queue.Class{interactive(0), bulk(0), bulk(2)}, []int{n * 7 / 8, n * 7 / 64, n / 64}},
		"only one has jobs":     {[]queue.Class{bulk(2)}, []int{n}},
		"lanes of interactive":  {[]queue.Class{interactive(1), interactive(2), bulk(1)}, []int{n * 49 / 64, n * 7 / 64, n / 8}},
		"every eighth, exactly": {[]queue.Class{interactive(0), bulk(2)}, []int{n * 7 / 8, n / 8}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			has := map[queue.Class]int{}
			for i, c := range test.waiting {
				has[c] = i
			}
			var turns queue.Turns
			got := make([]int, len(test.waiting))
			for range n {
				seen := map[queue.Class]bool{}
				taken := -1
				for _, c := range turns.Order() {
					if seen[c] {
						t.Fatalf("Order names %v twice", c)
					}
					seen[c] = true
					if i, ok := has[c]; ok && taken < 0 {
						taken = i
					}
				}
				got[taken]++
				turns.Took(test.waiting[taken])
			}
			for i, want := range test.want {
				if got[i] != want {
					t.Errorf("%v had %d of %d deliveries, want %d", test.waiting[i], got[i], n, want)
				}
			}
		})
	}
}

// next returns the class to serve while both interactive(0) and bulk(0) have jobs, and no other class has.
func next(turns *queue.Turns) queue.Class {
	order := turns.Order()
	return order[slices.IndexFunc(order[:], func(c queue.Class) bool { return c.Lane == 0 })]
}

// TestTurnsAreSpread checks that the later class gets every eighth delivery, and that a delivery because nothing else
// waited counts as its turn.
func TestTurnsAreSpread(t *testing.T) {
	t.Parallel()
	var turns queue.Turns
	for delivery := range 3 * 8 {
		want := interactive(0)
		if delivery%8 == 7 {
			want = bulk(0)
		}
		if got := next(&turns); got != want {
			t.Fatalf("delivery %d is %v, want %v", delivery, got, want)
		}
		turns.Took(want)
	}
	turns.Took(interactive(0))
	turns.Took(bulk(0))
	for delivery := range 7 {
		if got := next(&turns); got != interactive(0) {
			t.Fatalf("%v after %d interactive deliveries, want bulk after 7", got, delivery)
		}
		turns.Took(interactive(0))
	}
	if got := next(&turns); got != bulk(0) {
		t.Errorf("%v after 7 interactive deliveries, want bulk", got)
	}
}
