package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// murals is a replica on which images named mural take ten seconds, and others a tenth.
type murals struct {
	mu                 sync.Mutex
	murals, most, done int // murals at a time, and at most; others that have ended
}

func (m *murals) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	takes := 100 * time.Millisecond
	if image.Name == "mural" {
		takes = 10 * time.Second
		m.mu.Lock()
		m.murals++
		m.most = max(m.most, m.murals)
		m.mu.Unlock()
		defer func() { m.mu.Lock(); defer m.mu.Unlock(); m.murals-- }()
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	if image.Name != "mural" {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.done++
	}
	return resnet18cloud.Result{Predictions: []string{"junco"}, Model: "m", Precision: "fp32"}, nil
}

// counts returns murals at a time, at most, and others that have ended.
func (m *murals) counts() (now, most, others int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.murals, m.most, m.done
}

// TestLargeImagesLeaveSlots checks that large images have half of the slots, so that others are classified meanwhile,
// and that all of them end, one whose deadline passes as failed.
func TestLargeImagesLeaveSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newReconcileBench(t)
		replica := &murals{}
		b.backend = inProcess{replica, 4}
		b.cfg.Large = func(image resnet18cloud.Image) bool { return image.Name == "mural" }
		send := func(i int, name string, deadline time.Duration) {
			job := jobNamed(fmt.Sprint(i))
			job.Digest[0], job.Image.Name, job.QueuedAt = byte(i), name, time.Now()
			if deadline > 0 {
				job.Deadline = time.Now().Add(deadline)
			}
			b.publish(t, job)
		}
		for i := range 8 {
			deadline := time.Duration(0)
			if i == 7 {
				deadline = 5 * time.Second
			}
			send(i, "mural", deadline)
		}
		for i := range 20 {
			send(100+i, "photo", 0)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.work(ctx, t.Context())
			b.inFlight.done.Wait()
		}()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if now, most, others := replica.counts(); now != 2 || most != 2 || others != 20 {
			t.Errorf("after 9 s: %d large ones at a time, at most %d, %d others have ended; want 2, 2 and 20", now, most, others)
		}
		time.Sleep(5 * time.Minute)
		stop()
		<-ended
		_, most, _ := replica.counts()
		if got := counted(t, b.Dispatcher); got.Completed != 27 || got.Failed != 1 || most != 2 {
			t.Errorf("counted %+v, %d large ones at a time; want 27 completed, one failed, and 2", got, most)
		}
		if b.inFlight.large != 0 {
			t.Errorf("%d large images are counted at the end", b.inFlight.large)
		}
	})
}

// TestReturnedLargeImagesAreNotServed checks that jobs which go back to the queue do not count among those that decide
// which clients are served.
func TestReturnedLargeImagesAreNotServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newReconcileBench(t)
		b.backend = inProcess{&murals{}, 8}
		b.cfg.Large = func(image resnet18cloud.Image) bool { return image.Name == "mural" }
		for i := range 20 {
			job := jobNamed(fmt.Sprint(i))
			job.Digest[0], job.Image.Name, job.QueuedAt = byte(i), "mural", time.Now()
			if _, refused := b.holdings.add(client{name: "painter"}, job, room{capacity: 200, maxBytes: 1 << 30}); refused != "" {
				t.Fatal(refused)
			}
			b.publish(t, job)
		}
		ctx, stop := context.WithCancel(t.Context())
		go b.work(ctx, ctx)
		synctest.Wait()
		if got := b.holdings.usage(usage{}, time.Now()); got.recent != 4 || got.passed != 4 {
			t.Errorf("%d jobs count as taken, %d of them passed others; want those of the 4 slots for large images", got.recent, got.passed)
		}
		if got := b.waiting().Total(); got != 16 {
			t.Errorf("%d jobs wait, want the 16 that were returned", got)
		}
		stop()
		b.inFlight.done.Wait()
	})
}

func TestLargeSlots(t *testing.T) {
	t.Parallel()
	for slots, want := range map[int]int{0: 1, 1: 1, 2: 1, 4: 2, 9: 4} {
		if got := largeSlots(slots); got != want {
			t.Errorf("largeSlots(%d) = %d, want %d", slots, got, want)
		}
	}
	for waiting, want := range map[int]time.Duration{0: time.Second, 10: time.Second, 40: 4 * time.Second, 100: 10 * time.Second, 1000: 10 * time.Second} {
		if got := largeRetry(waiting); got != want {
			t.Errorf("largeRetry(%d) = %s, want %s", waiting, got, want)
		}
	}
}
