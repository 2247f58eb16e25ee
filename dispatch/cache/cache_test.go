package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(n byte, model string) cache.Key { return cache.Key{Digest: [32]byte{n}, Model: model} }

func TestCache(t *testing.T) {
	t.Parallel()
	c := cache.New(10)
	c.Put(key(1, "a"), resnet18cloud.Result{Filename: "one"})
	if r, ok := c.Get([32]byte{1}, []string{"b", "a"}); !ok || r.Filename != "one" {
		t.Errorf("Get = %v, %t, want one", r, ok)
	}
	if _, ok := c.Get([32]byte{1}, []string{"b"}); ok {
		t.Error("a model was answered with another's result")
	}
	if _, ok := c.Peek([32]byte{1}, nil); ok {
		t.Error("a result without a model to ask for")
	}
	if got, want := c.Stats(), (cache.Stats{Hits: 1, Misses: 1, Size: 1, MaxSize: 10}); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
	if n := c.Clear(); n != 1 {
		t.Errorf("Clear = %d, want 1", n)
	}
	if _, ok := c.Peek([32]byte{1}, []string{"a"}); ok {
		t.Error("a result outlived Clear")
	}
}

func TestBound(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 10} {
		c := cache.New(size)
		for n := range byte(100) {
			c.Put(key(n, "a"), resnet18cloud.Result{})
		}
		if got := c.Stats().Size; got > size {
			t.Errorf("a cache of %d holds %d", size, got)
		}
	}
}

// TestBytesAreBounded holds that giants are not kept, in whichever field they are.
func TestBytesAreBounded(t *testing.T) {
	t.Parallel()
	c := cache.New(10)
	word := strings.Repeat("x", 4<<10)
	for i, r := range []resnet18cloud.Result{
		{Filename: word, Model: "m"}, {Predictions: []string{"a", word}}, {Scores: []resnet18cloud.Prediction{{Label: word}}},
		{Predictions: make([]string, 1000)}, {Warning: word, Model: "m"},
	} {
		if c.Put(key(byte(i), "a"), r); c.Stats().Size != 0 {
			t.Errorf("giant %d was kept", i)
		}
	}
	c.Put(key(0, "a"), resnet18cloud.Result{Predictions: []string{"goldfinch", "bulbul", "magpie", "chickadee", "junco"}})
	if got := c.Stats().Size; got != 1 {
		t.Errorf("a cache with one usual answer holds %d", got)
	}
}

// TestOnce holds that equal images in flight run once and all get the answer.
func TestOnce(t *testing.T) {
	t.Parallel()
	c := cache.New(0)
	started, release := make(chan struct{}), make(chan struct{})
	runs, joined := 0, 0
	var mu sync.Mutex
	var all sync.WaitGroup
	ask := func() {
		r, shared, err := c.Once(t.Context(), [32]byte{1}, func(context.Context) (resnet18cloud.Result, error) {
			runs++ // a second run would be a race, and counted
			close(started)
			<-release
			return resnet18cloud.Result{Filename: "one"}, nil
		})
		if err != nil || r.Filename != "one" {
			t.Errorf("Once = %v, %v", r, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if shared {
			joined++
		}
	}
	all.Go(ask)
	<-started
	for range 5 {
		all.Go(ask)
	}
	// The others may join or, late, find nothing in flight; a join needs the run to be held until then.
	for c.Waiting([32]byte{1}) < 6 {
		select {
		case <-t.Context().Done():
			t.Fatal("callers never joined")
		default:
		}
	}
	close(release)
	all.Wait()
	if runs != 1 || joined != 5 {
		t.Errorf("%d runs, %d joined, want 1 and 5", runs, joined)
	}
}

// TestOnceLeaving holds that one caller's leaving does not spoil another's answer, and that the last one's
// stops the work.
func TestOnceLeaving(t *testing.T) {
	t.Parallel()
	c := cache.New(0)
	started, stopped := make(chan struct{}), make(chan struct{})
	f := func(ctx context.Context) (resnet18cloud.Result, error) {
		close(started)
		<-ctx.Done()
		close(stopped)
		return resnet18cloud.Result{}, ctx.Err()
	}
	first, leaveFirst := context.WithCancel(t.Context())
	second, leaveSecond := context.WithCancel(t.Context())
	var all sync.WaitGroup
	firstLeft := make(chan struct{})
	all.Go(func() {
		defer close(firstLeft)
		if _, _, err := c.Once(first, [32]byte{1}, f); !errors.Is(err, context.Canceled) {
			t.Errorf("Once after leaving: %v", err)
		}
	})
	<-started
	all.Go(func() {
		if _, _, err := c.Once(second, [32]byte{1}, f); !errors.Is(err, context.Canceled) {
			t.Errorf("Once after leaving: %v", err)
		}
	})
	for c.Waiting([32]byte{1}) < 2 {
		select {
		case <-t.Context().Done():
			t.Fatal("the second caller never joined")
		default:
		}
	}
	leaveFirst()
	<-firstLeft
	select {
	case <-stopped:
		t.Error("work was stopped while somebody waited for it")
	default:
	}
	leaveSecond()
	<-stopped
	all.Wait()
}
