package dispatch

import (
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
)

// crowd is a set of clients of a dispatcher with replicas that have some workers in all, in virtual time. Each image
// takes a worker 40 to 60 ms. Another image may wait for each worker, as in a replica.
type crowd struct {
	d       *Dispatcher
	workers chan struct{} // one element per image being processed

	stallFrom, stallTo time.Time // the replicas process nothing meanwhile
}

const perWorker = 20.0 // images per second

func newCrowd(workers int) *crowd { return &crowd{workers: make(chan struct{}, workers)} }

// crowdBackend has the crowd's replicas.
type crowdBackend struct {
	inProcess
	workers int
}

func (b crowdBackend) Workers() int { return b.workers }

func (c *crowd) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	select {
	case c.workers <- struct{}{}: // in the order of arrival
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	defer func() { <-c.workers }()
	if now := time.Now(); !now.Before(c.stallFrom) && now.Before(c.stallTo) {
		time.Sleep(c.stallTo.Sub(now))
	}
	took := 40 + crc32.ChecksumIEEE(image.Bytes)%21
	select {
	case <-time.After(time.Duration(took) * time.Millisecond):
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	return resnet18cloud.Result{Filename: image.Name, Predictions: []string{"junco"}, Model: "m", Precision: "fp32",
		Timing: resnet18cloud.Timing{Inference: time.Duration(took) * time.Millisecond}}, nil
}

// outcomes are what one client got.
type outcomes struct {
	latencies []time.Duration
	refused   int
}

func (o outcomes) mean() time.Duration {
	var sum time.Duration
	for _, l := range o.latencies {
		sum += l
	}
	return sum / time.Duration(max(1, len(o.latencies)))
}

func (o outcomes) p50() time.Duration { return o.percentile(50) }
func (o outcomes) p99() time.Duration { return o.percentile(99) }

func (o outcomes) percentile(p int) time.Duration {
	slices.Sort(o.latencies)
	return o.latencies[len(o.latencies)*p/100]
}

// open makes the dispatcher. run does so unless it exists.
func (c *crowd) open(t *testing.T) {
	t.Helper()
	var err error
	c.d, err = New(Config{Queue: memqueue.New(DefaultQueueCapacity, 10*time.Second), Store: memstore.New(time.Hour, 1_000_000),
		Classifier: c, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	c.d.backend = crowdBackend{inProcess{c, 2 * cap(c.workers)}, cap(c.workers)}
}

// run lets each client send images at its rate for the time given, at random times, and returns what each got. limits are
// the rates that some clients may send at most.
func (c *crowd) run(t *testing.T, rates map[string]float64, length time.Duration, limits map[string]float64) map[string]*outcomes {
	if c.d == nil {
		c.open(t)
	}
	end := c.start()
	got := map[string]*outcomes{}
	var clients sync.WaitGroup
	for name, rate := range rates {
		o := &outcomes{}
		got[name] = o
		clients.Go(func() { c.client(t, client{name: name, rate: limits[name]}, rate, length, o) })
	}
	clients.Wait()
	end()
	return got
}

// start starts the dispatcher. The function it returns stops it.
func (c *crowd) start() (end func()) {
	life, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = c.d.queue.Run(life) })
	parts.Go(func() { _ = c.d.store.Run(life) })
	close(c.d.ready)
	parts.Go(func() { c.d.work(life, life) })
	return func() { cancel(); parts.Wait() }
}

// client sends images and waits for all results.
func (c *crowd) client(t *testing.T, who client, rate float64, length time.Duration, o *outcomes) {
	var mu sync.Mutex // guards o
	var waiting sync.WaitGroup
	defer waiting.Wait()
	random := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(who.name))), 1)) // the same times beside whatever others
	for start, n := time.Now(), 0; time.Since(start) < length; n++ {
		time.Sleep(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		content := fmt.Sprint(who.name, " ", n)
		sent := submitOptions{arrived: time.Now(), priority: resnet18cloud.PriorityInteractive, client: who}
		r, err := c.d.submit(t.Context(), resnet18cloud.Image{Name: "a.jpg", Bytes: []byte(content)}, sent)
		if err != nil {
			mu.Lock()
			o.refused++
			mu.Unlock()
			continue
		}
		waiting.Go(func() {
			r, err := c.d.store.Wait(context.WithoutCancel(t.Context()), r.ID)
			if err != nil || r.Status != resnet18cloud.StatusCompleted {
				t.Errorf("a request of %s ended as %s, %v", who.name, r.Status, err)
			}
			mu.Lock()
			defer mu.Unlock()
			o.latencies = append(o.latencies, time.Since(sent.arrived))
		})
	}
}

// TestFloodDelaysOnlyItself lets one of ten clients send ten times as much as the others. Compared with ten equal
// clients, the nine others wait at most 1.2 times as long, in the mean and for 99 % of the images, and none of their
// images is refused. The flood gets most of what they leave.
func TestFloodDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	const good = 9
	for name, test := range map[string]struct {
		workers int
		load    float64 // of ten equal clients, relative to the capacity
		limited bool    // the flooder may send as much as each of the others
		left    float64 // at least this share of what the others leave is served
	}{
		"half load":             {workers: 8, load: 0.5, left: 0.75},
		"high load":             {workers: 8, load: 0.75, left: 0.75},
		"half load, limited":    {workers: 8, load: 0.5, limited: true},
		"high load, limited":    {workers: 8, load: 0.7, limited: true},
		"half load, 2 workers":  {workers: 2, load: 0.5, left: 0.5},
		"half load, 4 workers":  {workers: 4, load: 0.5, left: 0.75},
		"half load, 32 workers": {workers: 32, load: 0.5, left: 0.9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			capacity := float64(test.workers) * perWorker
			rate := test.load * capacity / (good + 1)
			images := 4500.0 // the replicas could classify so many
			if test.limited {
				images = 2000
			}
			length := time.Duration(images / capacity * float64(time.Second))
			run := func(flood float64) (all outcomes, flooder outcomes) {
				synctest.Test(t, func(t *testing.T) {
					rates := map[string]float64{"flooder": flood * rate}
					for i := range good {
						rates[fmt.Sprint("good ", i)] = rate
					}
					limits := map[string]float64{}
					if test.limited {
						limits["flooder"] = rate
					}
					got := newCrowd(test.workers).run(t, rates, length, limits)
					flooder = *got["flooder"]
					delete(got, "flooder")
					for _, o := range got {
						all.latencies = append(all.latencies, o.latencies...)
						all.refused += o.refused
					}
				})
				return all, flooder
			}
			equal, _ := run(1)
			flooded, flooder := run(10)
			t.Logf("the nine beside an equal one: mean %s, p50 %s, p99 %s; beside a flood: mean %s, p50 %s, p99 %s; the flooder: mean %s, %d of %d refused", equal.mean(), equal.p50(), equal.p99(),
				flooded.mean(), flooded.p50(), flooded.p99(), flooder.mean(), flooder.refused, flooder.refused+len(flooder.latencies))
			if flooded.refused > 0 {
				t.Errorf("%d images of the others were refused", flooded.refused)
			}
			if ratio := float64(flooded.mean()) / float64(equal.mean()); ratio > 1.2 {
				t.Errorf("beside a flood, the others wait %.2f times as long, want at most 1.2", ratio)
			}
			if ratio := float64(flooded.p99()) / float64(equal.p99()); ratio > 1.2 {
				t.Errorf("beside a flood, 99 %% of the others wait %.2f times as long, want at most 1.2", ratio)
			}
			if test.limited {
				if served := float64(len(flooder.latencies)) / length.Seconds(); served > 1.1*rate {
					t.Errorf("%.1f images/s of the flood were accepted, its limit is %.1f", served, rate)
				}
				return
			}
			left := min(10*rate, capacity-good*rate)
			if served := float64(len(flooder.latencies)) / length.Seconds(); served < test.left*left {
				t.Errorf("%.0f images/s of the flood were served, the others leave %.0f, want at least %g of it", served, left, test.left)
			}
		})
	}
}

// TestStallPasses lets the replicas stand still for a while, during which a client gets more images waiting than a client
// with few may have. It is served as before soon afterwards, beside a flood and beside a client that always has images
// waiting, however many of its own are still in the lane of the flood.
func TestStallPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(2)
		c.open(t)
		c.stallFrom = time.Now().Add(10 * time.Second)
		c.stallTo = c.stallFrom.Add(15 * time.Second)
		end := c.start()
		defer end()
		const rate, second, length = 4, 45 * time.Second, 105 * time.Second
		var clients sync.WaitGroup
		var flood, before, after outcomes
		clients.Go(func() { c.client(t, client{name: "flood"}, 60, length, &flood) })
		clients.Go(func() { c.client(t, client{name: "good"}, rate, second, &before) })
		clients.Go(func() {
			time.Sleep(second)
			c.client(t, client{name: "good"}, rate, length-second, &after)
		})
		looped := c.loop(t, "loop", 8, length)
		clients.Wait()
		t.Logf("good: mean %s, p99 %s, %d refused; after the stall: mean %s, p99 %s, %d refused; flood: %d served, %d refused; loop: %d served",
			before.mean(), before.p99(), before.refused, after.mean(), after.p99(), after.refused, len(flood.latencies), flood.refused, looped)
		if after.refused > 0 || after.p99() > time.Second {
			t.Errorf("after the stall, %d images of the client were refused, and 99 %% took up to %s, want none and at most 1s", after.refused, after.p99())
		}
		if ratio := float64(len(flood.latencies)) / float64(looped); ratio < 0.5 || ratio > 2 {
			t.Errorf("the flood got %.2f times what the client with eight in flight got, want about the same", ratio)
		}
	})
}

// TestFairnessCostsNothing lets clients without small ones beside them keep a number of requests in flight each. The
// replicas are busy all the time.
func TestFairnessCostsNothing(t *testing.T) {
	t.Parallel()
	const workers, length = 2, 20 * time.Second
	for name, inFlight := range map[string][]int{
		"a flood alone":     {100},
		"one client":        {6},
		"two floods":        {100, 50},
		"two of equal size": {4, 4},
		"ten small ones":    {1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(workers)
				ended := c.loops(t, inFlight, length)
				if share := float64(ended) / (workers * perWorker * length.Seconds()); share < 0.97 {
					t.Errorf("the replicas were busy for %.2f of the time", share)
				}
			})
		})
	}
}

// loops lets clients keep so many requests in flight each, and returns how many ended.
func (c *crowd) loops(t *testing.T, inFlight []int, length time.Duration) (ended int) {
	c.open(t)
	end := c.start()
	defer end()
	each := make([]int, len(inFlight))
	var clients sync.WaitGroup
	for i, n := range inFlight {
		clients.Go(func() { each[i] = c.loop(t, fmt.Sprint(i), n, length) })
	}
	clients.Wait()
	for _, n := range each {
		ended += n
	}
	return ended
}

// loop lets a client keep so many requests in flight, and returns how many ended.
func (c *crowd) loop(t *testing.T, name string, inFlight int, length time.Duration) int {
	var ended atomic.Int64
	var loops sync.WaitGroup
	for j := range inFlight {
		loops.Go(func() {
			for k, start := 0, time.Now(); time.Since(start) < length; k++ {
				image := resnet18cloud.Image{Name: "a.jpg", Bytes: fmt.Append(nil, name, j, k)}
				sent := submitOptions{arrived: time.Now(), priority: resnet18cloud.PriorityInteractive, client: client{name: name}}
				r, err := c.d.submit(t.Context(), image, sent)
				if err == nil {
					_, err = c.d.store.Wait(t.Context(), r.ID)
				}
				if err != nil {
					t.Error(err)
					return
				}
				if time.Since(start) < length {
					ended.Add(1)
				}
			}
		})
	}
	loops.Wait()
	return int(ended.Load())
}

// TestBatchDelaysOnlyItself sends a batch of 100 images at once, and single images of another client afterwards: those
// do not wait for the batch.
func TestBatchDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(8)
		c.open(t)
		var batch sync.WaitGroup
		rates := map[string]float64{"single": 10}
		batch.Go(func() {
			time.Sleep(time.Second)
			for i := range 100 {
				o := submitOptions{arrived: time.Now(), priority: resnet18cloud.PriorityInteractive, client: client{name: "batch"}}
				if _, err := c.d.submit(t.Context(), resnet18cloud.Image{Name: "b.jpg", Bytes: []byte(fmt.Sprint("batch ", i))}, o); err != nil {
					t.Errorf("image %d of the batch: %v", i, err)
				}
			}
		})
		got := c.run(t, rates, 3*time.Second, nil)["single"]
		batch.Wait()
		if worst := got.p99(); worst > 150*time.Millisecond {
			t.Errorf("a single image took %s, want at most its own time and that of one before it", worst)
		}
	})
}
