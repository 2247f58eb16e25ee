package forward_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fake{
		"prototype": newFake(t, "", prototype), "ours": newFake(t, `{"concurrency":2,"queue":2}`, ours),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, forward.Config{Endpoints: []string{f.URL + "/"}}, 1)
			r, err := p.Classify(t.Context(), image)
			if err != nil {
				t.Fatal(err)
			}
			if r.Filename != image.Name || r.Predictions[0] != "junco" || r.Replica != f.URL ||
				r.Timing.Replica != 250*time.Millisecond {
				t.Errorf("Classify = %+v", r)
			}
			if n, _ := p.Slots(); n != 4 {
				t.Errorf("%d slots, want 4", n)
			}
		})
	}
}

// TestErrors checks the error for each kind of failure, and how many replicas are tried.
func TestErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		predict  http.HandlerFunc
		code     resnet18cloud.Code
		message  string
		attempts int32 // across the three replicas
	}{
		"broken image": {answers(422, `{"error":"Not a decodable image","hint":"h"}`), resnet18cloud.CodeUndecodable, "Not a decodable image", 1},
		"bomb":         {answers(413, `{"error":"Too many pixels"}`), resnet18cloud.CodeTooLarge, "Too many pixels", 1},
		"crash":        {answers(500, `oops`), resnet18cloud.CodeInternal, "returned status 500", 3},
		"bad gateway":  {answers(502, ``), resnet18cloud.CodeInternal, "returned status 502", 3},
		"wrong place":  {answers(404, ``), resnet18cloud.CodeInternal, "returned status 404", 3},
		"invalid":      {answers(200, `<html>`), resnet18cloud.CodeInternal, "returned an invalid response", 3},
		"no labels":    {answers(200, `{}`), resnet18cloud.CodeInternal, "returned an invalid response", 3},
		"full":         {answers(503, `{"error":"Queue is full"}`), resnet18cloud.CodeFull, "Queue is full", 3},
		"hangs up":     {hangUp, resnet18cloud.CodeInternal, "closed the connection", 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var endpoints []string
			var fakes []*fake
			for range 3 {
				f := newFake(t, "{}", test.predict)
				fakes, endpoints = append(fakes, f), append(endpoints, f.URL)
			}
			p := start(t, forward.Config{Endpoints: endpoints, MaxBackoff: time.Minute}, 3)
			_, err := p.Classify(t.Context(), image)
			e := resnet18cloud.AsError(err)
			if e == nil || e.Code != test.code || !strings.Contains(e.Message, test.message) {
				t.Fatalf("Classify: %v, want %s %q", err, test.code, test.message)
			}
			var attempts int32
			for _, f := range fakes {
				// The transport itself retries a request if an idle connection turns out to be closed, and hanging up
				// looks like that.
				if n := f.images.Load(); n > 1 && name != "hangs up" {
					t.Errorf("one replica was asked %d times", n)
				}
				attempts += min(1, f.images.Load())
			}
			if attempts != test.attempts {
				t.Errorf("%d attempts, want %d", attempts, test.attempts)
			}
		})
	}
}

func TestRetryElsewhere(t *testing.T) {
	t.Parallel()
	away := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	var dead *fake
	dead = newFake(t, "{}", func(w http.ResponseWriter, r *http.Request) {
		dead.ready.Store(&away)
		hangUp(w, r)
	})
	good := newFake(t, "{}", prototype)
	p := start(t, forward.Config{Endpoints: []string{dead.URL, good.URL}}, 2)
	for range 5 {
		if r, err := p.Classify(t.Context(), image); err != nil || r.Replica != good.URL {
			t.Fatalf("Classify = %+v, %v, want the good replica's answer", r, err)
		}
	}
	if n := dead.images.Load(); n < 1 || n > 2 { // the transport may retry a request
		t.Errorf("the dead replica was sent %d images, want one: it is set aside", n)
	}
}

// TestTakingTurns checks that equal replicas get images in turn.
func TestTakingTurns(t *testing.T) {
	t.Parallel()
	a, b := newFake(t, "{}", prototype), newFake(t, "{}", prototype)
	p := start(t, forward.Config{Endpoints: []string{a.URL, b.URL}}, 2)
	for range 6 {
		if _, err := p.Classify(t.Context(), image); err != nil {
			t.Fatal(err)
		}
	}
	if a.images.Load() != 3 || b.images.Load() != 3 {
		t.Errorf("%d and %d images, want 3 and 3", a.images.Load(), b.images.Load())
	}
}

// TestEachReplicaOnce checks that no replica gets an image twice in one call of Classify, and that Attempts limits
// how many get it.
func TestEachReplicaOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ replicas, attempts, want int }{{1, 3, 1}, {2, 3, 2}, {4, 3, 3}, {4, 1, 1}} {
		var endpoints []string
		for range test.replicas {
			endpoints = append(endpoints, newFake(t, "{}", answers(503, "")).URL)
		}
		var outcomes atomic.Int32
		p := start(t, forward.Config{Endpoints: endpoints, Attempts: test.attempts, Attempted: func(outcome string) {
			if outcome != "full" {
				t.Errorf("attempt ended with %s, want full", outcome)
			}
			outcomes.Add(1)
		}}, test.replicas)
		_, err := p.Classify(t.Context(), image)
		if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeFull {
			t.Errorf("Classify: %v, want full", err)
		}
		if got := int(outcomes.Load()); got != test.want {
			t.Errorf("%d attempts at %d replicas, want %d", got, test.replicas, test.want)
		}
	}
}

func TestNoReplica(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port without a server
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p := start(t, forward.Config{Endpoints: []string{url}}, 0)
	_, err = p.Classify(t.Context(), image)
	if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeUnavailable {
		t.Errorf("Classify: %v, want unavailable", err)
	}
}

// TestRecovers checks that a failed replica is used again once it responds.
func TestRecovers(t *testing.T) {
	t.Parallel()
	f := newFake(t, "{}", hangUp)
	p := start(t, forward.Config{Endpoints: []string{f.URL}, MaxBackoff: 100 * time.Millisecond}, 1)
	if _, err := p.Classify(t.Context(), image); err == nil {
		t.Fatal("Classify by a replica that hangs up succeeded")
	}
	healed := http.HandlerFunc(prototype)
	f.predict.Store(&healed)
	waitHealthy(t, p, 1)
	if _, err := p.Classify(t.Context(), image); err != nil {
		t.Errorf("Classify after recovery: %v", err)
	}
}

// TestLeastLoaded checks that no replica gets more images than its slots, and that two with free slots share the
// images.
func TestLeastLoaded(t *testing.T) {
	t.Parallel()
	var most, now [2]atomic.Int32
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	var endpoints []string
	for i := range 2 {
		f := newFake(t, `{"concurrency":2,"queue":0}`, func(w http.ResponseWriter, r *http.Request) {
			n := now[i].Add(1)
			defer now[i].Add(-1)
			for m := most[i].Load(); n > m && !most[i].CompareAndSwap(m, n); m = most[i].Load() {
			}
			arrived <- struct{}{}
			<-release
			ours(w, r)
		})
		endpoints = append(endpoints, f.URL)
	}
	p := start(t, forward.Config{Endpoints: endpoints}, 2)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := p.Classify(t.Context(), image); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		<-arrived
	}
	close(release)
	all.Wait()
	if most[0].Load() != 2 || most[1].Load() != 2 {
		t.Errorf("most at a time: %d and %d, want 2 and 2", most[0].Load(), most[1].Load())
	}
}

// TestSetEndpoints checks that the list can change while images are in flight.
func TestSetEndpoints(t *testing.T) {
	t.Parallel()
	a, b := newFake(t, "{}", prototype), newFake(t, `{"weights":"w","precision":"int8","warning":"random"}`, prototype)
	p := start(t, forward.Config{Endpoints: []string{a.URL}}, 1)
	if err := p.SetEndpoints([]string{b.URL}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(10 * time.Second); ; {
		_, changed := p.Slots()
		es := p.Endpoints()
		if len(es) == 1 && es[0].URL == b.URL && es[0].Healthy {
			if es[0].Model != "w" || es[0].Precision != "int8" || es[0].Warning != "random" {
				t.Errorf("endpoint %+v lacks what /info says", es[0])
			}
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("endpoints %+v, want %s", es, b.URL)
		}
	}
	if r, err := p.Classify(t.Context(), image); err != nil || r.Replica != b.URL {
		t.Errorf("Classify = %+v, %v, want the new endpoint's answer", r, err)
	}
	for _, bad := range []string{"", "localhost:5000", "ftp://x", "dns+http://", "http://[::1"} {
		if err := p.SetEndpoints([]string{bad}); err == nil {
			t.Errorf("SetEndpoints(%q) succeeded", bad)
		}
	}
}

// TestDNS checks that a name stands for all of its addresses.
func TestDNS(t *testing.T) {
	t.Parallel()
	f := newFake(t, "{}", prototype)
	port := f.Listener.Addr().(*net.TCPAddr).Port
	p, err := forward.New(forward.Config{Endpoints: []string{fmt.Sprintf("dns+http://localhost:%d", port)}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for deadline := time.After(10 * time.Second); ; {
		n, changed := p.Slots()
		if n > 0 {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no endpoint of localhost: %+v", p.Endpoints())
		}
	}
	if r, err := p.Classify(ctx, image); err != nil || r.Replica != f.URL {
		t.Errorf("Classify = %+v, %v, want an answer of %s", r, err, f.URL)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
