package sim

import (
	"math"
	"testing"
	"time"
)

// TestWorkers: a replica of two workers serves twice as much, and finishes both images when it leaves.
func TestWorkers(t *testing.T) {
	t.Parallel()
	one := Run(Config{Load: poisson(100, 5*time.Minute), Policy: constant(10), Start: 10, Warmup: -1})
	two := Run(Config{Load: poisson(100, 5*time.Minute), Policy: constant(5), Start: 5, Warmup: -1, Workers: 2})
	if one.Late != two.Late || one.Offered != two.Offered || one.Latency.Quantile(0.99) != two.Latency.Quantile(0.99) {
		t.Errorf("ten workers in ten replicas: %d of %d late, in five: %d of %d; want the same", one.Late, one.Offered, two.Late, two.Offered)
	}
	if math.Abs(two.Cost()-one.Cost()) > 0.01 || math.Abs(2*two.ReplicaSeconds-one.ReplicaSeconds) > 1 {
		t.Errorf("cost %v and %v, replica-seconds %v and %v", one.Cost(), two.Cost(), one.ReplicaSeconds, two.ReplicaSeconds)
	}
	p := &script{wanted: func(s int) int { return 1 + 4*(s%2) }}
	r := Run(Config{Load: poisson(50, 5*time.Minute), Policy: p, Start: 5, Warmup: -1, Queue: 1 << 20, Delay: Fixed(time.Millisecond), Workers: 2})
	if answered := r.Latency.n; answered < r.Offered-50 || r.Refused > 0 {
		t.Errorf("%d of %d are answered while replicas come and go, %d refused", answered, r.Offered, r.Refused)
	}
}

// TestNodes: replicas beyond what nodes have room for wait for a node, and a node without replicas goes after ten minutes.
func TestNodes(t *testing.T) {
	t.Parallel()
	cfg := Config{PerNode: 4, NodeDelay: time.Minute}
	var n nodes
	n.update(0, cfg, 5) // two nodes, and one to spare
	for replicas, want := range map[int]nanos{0: 10, 7: 10, 11: 10} {
		if got := n.free(10, cfg, replicas); got != want {
			t.Errorf("beside %d replicas there is room at %d, want %d", replicas, got, want)
		}
	}
	n.update(5*second, cfg, 14)
	if got := n.free(5*second, cfg, 13); got != 65*second {
		t.Errorf("on a new node there is room at %d s, want 65", got/second)
	}
	n.update(100*second, cfg, 5)
	n.update(705*second, cfg, 5)
	if len(n.ready) != 3 {
		t.Errorf("%d nodes are left, want one less than four", len(n.ready))
	}
	p := &script{wanted: func(s int) int { return 2 + 6*min(1, s/20) }}
	Run(Config{Load: poisson(1, 2*time.Minute), Policy: p, Start: 2, Warmup: -1, Delay: Fixed(time.Second), PerNode: 2, NodeDelay: time.Minute})
	if at40, at100 := p.seen[39].Ready(), p.seen[99].Ready(); at40 != 4 || at100 != 8 {
		t.Errorf("%d replicas are ready before new nodes are, and %d after; want 4 and 8", at40, at100)
	}
}

// TestOldFigures: a policy sees figures of the age, but the present replicas.
func TestOldFigures(t *testing.T) {
	t.Parallel()
	p := constant(5)
	Run(Config{Load: poisson(60, time.Minute), Policy: p, Warmup: -1, Age: 4 * time.Second})
	if age := p.seen[29].Age(at(30 * second)); age != 4*time.Second {
		t.Errorf("figures are %s old, want 4 s", age)
	}
	if offered := p.seen[29].Offered; math.Abs(float64(offered)-60*26) > 200 {
		t.Errorf("%d images are known after 30 s, want about those of 26", offered)
	}
}

// TestBatches: as many images as before, several at a time.
func TestBatches(t *testing.T) {
	t.Parallel()
	single := Run(Config{Load: poisson(60, 10*time.Minute), Policy: constant(6), Start: 6, Warmup: -1})
	batches := Run(Config{Load: poisson(60, 10*time.Minute), Policy: constant(6), Start: 6, Warmup: -1, Batch: 12})
	if ratio := float64(batches.Offered) / float64(single.Offered); ratio < 0.9 || ratio > 1.1 {
		t.Errorf("%d images in batches, %d singly", batches.Offered, single.Offered)
	}
	if batches.Latency.Quantile(0.9) < 2*single.Latency.Quantile(0.9)/3*2 {
		t.Errorf("of batches nine in ten take up to %s, singly %s; want more", batches.Latency.Quantile(0.9), single.Latency.Quantile(0.9))
	}
}
