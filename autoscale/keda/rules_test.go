package keda

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud/autoscale/keda/externalscaler"
)

// TestDefaults checks that advice is valid for ten seconds and idleness begins after a minute, unless set otherwise.
func TestDefaults(t *testing.T) {
	t.Parallel()
	if got := (Config{}).withDefaults(); got.MaxAge != 10*time.Second || got.IdleAfter != time.Minute || got.Log == nil {
		t.Errorf("defaults %+v", got)
	}
	if got := (Config{MaxAge: 1, IdleAfter: 2}).withDefaults(); got.MaxAge != 1 || got.IdleAfter != 2 {
		t.Errorf("defaults change what is set: %+v", got)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New without advice: no error")
	}
}

// server makes a server whose advice the test sets.
func server(t *testing.T, cfg Config) (*Server, *advisor) {
	t.Helper()
	a := new(advisor)
	cfg.Advice = a.get
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, a
}

// TestAdviceAges checks that advice of the maximum age is valid, and that older advice is an error that names its age.
func TestAdviceAges(t *testing.T) {
	t.Parallel()
	s, a := server(t, Config{})
	now := time.Now()
	a.set(Advice{At: now.Add(-10 * time.Second), Replicas: 3})
	if got, err := s.advice(now); err != nil || got.Replicas != 3 {
		t.Errorf("advice ten seconds old = %+v, %v", got, err)
	}
	if _, err := s.advice(now.Add(4*time.Second + 1)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "14s old, the limit is 10s") {
		t.Errorf("advice 14 s old: %v", err)
	}
	if _, err := s.advice(now.Add(1)); status.Code(err) != codes.Unavailable {
		t.Errorf("advice a moment older than ten seconds: %v", err)
	}
	a.set(Advice{Replicas: 3})
	if _, err := s.advice(now); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no decision yet") {
		t.Errorf("advice that rests on nothing: %v", err)
	}
}

// TestActivityEndsAfterAMinute without work; work, or missing figures, start it again immediately. Each change wakes the waiters.
func TestActivityEndsAfterAMinute(t *testing.T) {
	t.Parallel()
	s, a := server(t, Config{MaxAge: time.Hour})
	now := time.Now()
	look := func(after time.Duration, want bool) {
		t.Helper()
		before, changed := s.state()
		s.look(now.Add(after))
		if got, _ := s.state(); got != want {
			t.Errorf("after %s active is %v, want %v", after, got, want)
		}
		woken := false
		select {
		case <-changed:
			woken = true
		default:
		}
		if woken != (before != want) {
			t.Errorf("after %s: from %v to %v, woken %v", after, before, want, woken)
		}
	}
	a.set(Advice{At: now, Replicas: 1})
	look(0, true) // the time of the last work is unknown
	look(59*time.Second, true)
	look(time.Minute-1, true)
	look(time.Minute, false)
	look(2*time.Minute, false)
	a.set(Advice{At: now, Replicas: 1, Working: true})
	look(3*time.Minute, true)
	a.set(Advice{At: now, Replicas: 1})
	look(3*time.Minute+59*time.Second, true)
	look(4*time.Minute, false)
	a.set(Advice{}) // the dispatcher cannot be read
	look(5*time.Minute, true)
	look(9*time.Minute, true)
	a.set(Advice{At: now, Replicas: 1})
	look(9*time.Minute+59*time.Second, true)
	look(10*time.Minute, false)
}

// TestWatchLooksAtOnceAndEachSecond checks that it looks until it is stopped.
func TestWatchLooksAtOnceAndEachSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		s, err := New(Config{Advice: func() Advice { looks.Add(1); return Advice{} }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.watch(ctx) }()
		synctest.Wait()
		if got := looks.Load(); got != 1 {
			t.Errorf("%d looks at once, want 1", got)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if got := looks.Load(); got != 11 {
			t.Errorf("%d looks in ten seconds, want 11", got)
		}
		stop()
		<-done
	})
}

// TestAnAddressThatIsTaken checks that an address in use is an error immediately.
func TestAnAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, _ := server(t, Config{Addr: l.Addr().String()})
	if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "listen for KEDA") {
		t.Errorf("Listen = %v", err)
	}
}

// TestRunFailsWhenItCannotServe, such as when its listener is closed.
func TestRunFailsWhenItCannotServe(t *testing.T) {
	t.Parallel()
	s, _ := server(t, Config{Addr: "127.0.0.1:0"})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.listener.Close()
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "serve KEDA") {
		t.Errorf("Run = %v", err)
	}
}

// TestStreamsEndWithTheServer checks that streams end with the server and with their client.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	_, client := setup(t, Config{})
	ctx, stop := context.WithCancel(t.Context())
	listener, err := client.StreamIsActive(ctx, new(externalscaler.ScaledObjectRef))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listener.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := listener.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("a stream that its listener ended: %v", err)
	}
	// This stream is left for the server to end; otherwise its end in setup would hang.
	stays, err := client.StreamIsActive(t.Context(), new(externalscaler.ScaledObjectRef))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stays.Recv(); err != nil {
		t.Fatal(err)
	}
}
