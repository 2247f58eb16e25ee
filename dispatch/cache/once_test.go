package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
)

var question = cache.Question{Digest: [32]byte{1}}

// outcome is the return value of one call of Once.
type outcome struct {
	result resnet18cloud.Result
	shared bool
	err    error
}

// once calls Once in a goroutine and sends the outcome.
func once(ctx context.Context, c *cache.Cache, f func(context.Context) (resnet18cloud.Result, error)) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, shared, err := c.Once(ctx, cache.Flight{Question: question}, f)
		done <- outcome{r, shared, err}
	}()
	return done
}

// returns returns a function for Once that waits for release and returns a result with the name.
func returns(name string, release <-chan struct{}) func(context.Context) (resnet18cloud.Result, error) {
	return func(context.Context) (resnet18cloud.Result, error) {
		<-release
		return resnet18cloud.Result{Filename: name}, nil
	}
}

// TestOnce checks that identical images in flight run once and all get the result, and that the next one runs again.
func TestOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cache.New(0)
		release := make(chan struct{})
		var all []<-chan outcome
		for _, name := range []string{"first", "second", "third"} {
			all = append(all, once(t.Context(), c, returns(name, release)))
			synctest.Wait()
		}
		if n := c.Waiting(question); n != 3 {
			t.Errorf("%d callers wait, want 3", n)
		}
		if n := c.Waiting(cache.Question{Digest: [32]byte{2}}); n != 0 {
			t.Errorf("%d callers wait for another image", n)
		}
		close(release)
		for i, done := range all {
			if got := <-done; got.err != nil || got.result.Filename != "first" || got.shared != (i > 0) {
				t.Errorf("caller %d: %+v, want the first one's answer", i, got)
			}
		}
		if n := c.Waiting(question); n != 0 {
			t.Errorf("%d callers wait for a run that has ended", n)
		}
		if got := <-once(t.Context(), c, returns("fourth", release)); got.shared || got.result.Filename != "fourth" {
			t.Errorf("Once after the run: %+v, want a run of its own", got)
		}
	})
}

// TestOnceFails checks that a failure is returned to all callers and is not cached.
func TestOnceFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cache.New(10)
		failure, release := errors.New("replica failed"), make(chan struct{})
		fails := func(context.Context) (resnet18cloud.Result, error) {
			<-release
			return resnet18cloud.Result{}, failure
		}
		first, second := once(t.Context(), c, fails), once(t.Context(), c, fails)
		synctest.Wait()
		close(release)
		for _, done := range []<-chan outcome{first, second} {
			if got := <-done; !errors.Is(got.err, failure) {
				t.Errorf("Once: %v, want %v", got.err, failure)
			}
		}
		if got := <-once(t.Context(), c, returns("again", release)); got.err != nil {
			t.Errorf("Once after a failure: %v", got.err)
		}
	})
}

// TestOnceLeaving checks that a caller that leaves does not affect the others, that the call is cancelled when the
// last caller leaves, and that this caller returns after the call has ended.
func TestOnceLeaving(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cache.New(0)
		stopped, ended := false, false
		f := func(ctx context.Context) (resnet18cloud.Result, error) {
			<-ctx.Done()
			stopped = true
			time.Sleep(time.Second) // stopping takes a while
			ended = true
			return resnet18cloud.Result{}, ctx.Err()
		}
		withdrawn := errors.New("withdrawn")
		firstContext, leaveFirst := context.WithCancelCause(t.Context())
		secondContext, leaveSecond := context.WithCancelCause(t.Context())
		first := once(firstContext, c, f)
		synctest.Wait()
		second := once(secondContext, c, f)
		synctest.Wait()

		leaveFirst(withdrawn)
		if got := <-first; !errors.Is(got.err, withdrawn) || got.shared {
			t.Errorf("first caller: %+v, want %v", got, withdrawn)
		}
		synctest.Wait()
		if n := c.Waiting(question); stopped || n != 1 {
			t.Errorf("stopped %t, %d callers wait, want work for 1 caller", stopped, n)
		}
		leaveSecond(withdrawn)
		if got := <-second; !errors.Is(got.err, withdrawn) || !got.shared || !ended {
			t.Errorf("second caller: %+v, work ended %t, want %v when it has", got, ended, withdrawn)
		}
	})
}

// TestOnceAfterLeaving checks that no caller joins a call that is being cancelled, and that its end does not affect
// the next.
func TestOnceAfterLeaving(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cache.New(0)
		ctx, leave := context.WithCancel(t.Context())
		end, release := make(chan struct{}), make(chan struct{})
		left := once(ctx, c, returns("left", end))
		synctest.Wait()
		leave()
		synctest.Wait()
		second := once(t.Context(), c, returns("second", release))
		synctest.Wait()
		close(end)
		<-left
		third := once(t.Context(), c, returns("third", release))
		synctest.Wait()
		if n := c.Waiting(question); n != 2 {
			t.Errorf("%d callers wait, want 2", n)
		}
		close(release)
		for i, done := range []<-chan outcome{second, third} {
			if got := <-done; got.err != nil || got.result.Filename != "second" || got.shared != (i == 1) {
				t.Errorf("caller %d after the one that left: %+v, want the second one's answer", i, got)
			}
		}
	})
}

type contextKey struct{}

// TestOnceContext checks that the call has the values of its first caller's context, but not its cancellation, and
// that its context ends when the call does.
func TestOnceContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "id"))
	defer cancel()
	var run context.Context
	_, _, err := cache.New(0).Once(ctx, cache.Flight{Question: question}, func(ctx context.Context) (resnet18cloud.Result, error) {
		run = ctx
		return resnet18cloud.Result{}, ctx.Err()
	})
	if err != nil || run.Value(contextKey{}) != "id" {
		t.Errorf("Once: %v, context's value %v, want id", err, run.Value(contextKey{}))
	}
	<-run.Done() // otherwise it leaks
}
