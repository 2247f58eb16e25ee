package dispatch

import (
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
)

// crowd is a set of clients of a dispatcher with replicas of 8 slots in all, in virtual time. Each image takes 40 to 60
// ms, so the replicas classify 160 per second.
type crowd struct {
	d *Dispatcher
}

const (
	crowdSlots    = 8
	crowdCapacity = 160.0 // images per second
)

func (c *crowd) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	took := 40 + crc32.ChecksumIEEE(image.Bytes)%21
	select {
	case <-time.After(time.Duration(took) * time.Millisecond):
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	return resnet18cloud.Result{Filename: image.Name, Predictions: []string{"junco"}, Model: "m", Precision: "fp32"}, nil
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

func (o outcomes) p99() time.Duration {
	slices.Sort(o.latencies)
	return o.latencies[len(o.latencies)*99/100]
}

// open makes the dispatcher. run does so unless it exists.
func (c *crowd) open(t *testing.T) {
	t.Helper()
	var err error
	c.d, err = New(Config{Queue: memqueue.New(DefaultQueueCapacity, 10*time.Second), Store: memstore.New(time.Hour, 1_000_000),
		Classifier: c, ClassifierSlots: crowdSlots, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
}

// run lets each client send images at its rate for the time given, at random times, and returns what each got. limits are
// the rates that some clients may send at most.
func (c *crowd) run(t *testing.T, rates map[string]float64, length time.Duration, limits map[string]float64) map[string]*outcomes {
	if c.d == nil {
		c.open(t)
	}
	life, end := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = c.d.queue.Run(life) })
	parts.Go(func() { _ = c.d.store.Run(life) })
	close(c.d.ready)
	parts.Go(func() { c.d.work(life, life) })
	got := map[string]*outcomes{}
	var clients sync.WaitGroup
	for name, rate := range rates {
		o := &outcomes{}
		got[name] = o
		clients.Go(func() { c.client(t, client{name: name, rate: limits[name]}, rate, length, o) })
	}
	clients.Wait()
	end()
	parts.Wait()
	return got
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
// clients, the nine others wait at most 1.2 times as long, and none of their images is refused: in the mean without any
// limits, although the replicas are always busy and an image at a replica is not interrupted; and for 99 % of the images
// if the flooder has a limit, or if the replicas were busy before.
func TestFloodDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	const good, length = 9, 30 * time.Second
	for name, test := range map[string]struct {
		load    float64 // of ten equal clients, relative to the capacity
		limited bool    // the flooder may send as much as each of the others
		p99     float64 // at most this many times as long
	}{
		"half load":          {load: 0.5, p99: 1.6}, // without waiting, 99 % would take as long as the slowest image
		"high load":          {load: 0.75, p99: 1.2},
		"half load, limited": {load: 0.5, limited: true, p99: 1.2},
		"high load, limited": {load: 0.7, limited: true, p99: 1.2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rate := test.load * crowdCapacity / (good + 1)
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
					got := new(crowd).run(t, rates, length, limits)
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
			t.Logf("the nine beside an equal one: mean %s, p99 %s; beside a flood: mean %s, p99 %s; the flooder: mean %s, %d of %d refused", equal.mean(), equal.p99(),
				flooded.mean(), flooded.p99(), flooder.mean(), flooder.refused, flooder.refused+len(flooder.latencies))
			if flooded.refused > 0 {
				t.Errorf("%d images of the others were refused", flooded.refused)
			}
			if ratio := float64(flooded.mean()) / float64(equal.mean()); ratio > 1.2 {
				t.Errorf("beside a flood, the others wait %.2f times as long, want at most 1.2", ratio)
			}
			if ratio := float64(flooded.p99()) / float64(equal.p99()); ratio > test.p99 {
				t.Errorf("beside a flood, 99 %% of the others wait %.2f times as long, want at most %g", ratio, test.p99)
			}
			if test.limited {
				if served := float64(len(flooder.latencies)) / length.Seconds(); served > 1.1*rate {
					t.Errorf("%.1f images/s of the flood were accepted, its limit is %.1f", served, rate)
				}
				return
			}
			// The flood gets what the others leave.
			left := min(10*rate, crowdCapacity-good*rate)
			if served := float64(len(flooder.latencies)) / length.Seconds(); served < 0.9*left {
				t.Errorf("%.0f images/s of the flood were served, the others leave %.0f", served, left)
			}
		})
	}
}

// TestBatchDelaysOnlyItself sends a batch of 100 images at once, and single images of another client afterwards: those
// do not wait for the batch.
func TestBatchDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{}
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
