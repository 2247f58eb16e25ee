package forward_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// hold is a handler that keeps images until release is closed. It signals when one has arrived.
func hold(arrived chan<- struct{}, release <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- struct{}{}
		select {
		case <-release:
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			ours(w, r)
		case <-r.Context().Done():
		}
	}
}

type answer struct {
	result resnet18cloud.Result
	err    error
}

// send classifies the image with the pool and sends the result.
func send(t *testing.T, p *forward.Pool, image resnet18cloud.Image) <-chan answer {
	t.Helper()
	c := make(chan answer, 1)
	ctx := t.Context()
	go func() {
		r, err := p.Classify(ctx, image)
		c <- answer{r, err}
	}()
	return c
}

// next waits for an event after those that have already occurred.
func next(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	for len(c) > 0 {
		<-c
	}
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
}

// TestSlowReplicaKeepsItsImage checks that a replica that answers probes may take up to the attempt timeout for an
// image.
func TestSlowReplicaKeepsItsImage(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	slow, idle := newFake(t, `{"concurrency":1}`, hold(arrived, release)), newFake(t, `{"concurrency":1}`, ours)
	p := start(t, forward.Config{Endpoints: []string{slow.URL}, ProbeInterval: 10 * time.Millisecond, Attempted: only(t, "completed")}, 1)
	answered := send(t, p, image)
	<-arrived
	if err := p.SetEndpoints([]string{slow.URL, idle.URL}); err != nil {
		t.Fatal(err)
	}
	waitHealthy(t, p, 2)
	for range 10 {
		next(t, slow.probes, "a probe of the slow replica")
	}
	close(release)
	if a := <-answered; a.err != nil || a.result.Replica != slow.URL {
		t.Errorf("Classify = %+v, %v, want the slow replica's answer", a.result, a.err)
	}
}

// TestBusyReplicaMissesAProbe checks that one unanswered probe is followed by another one, and changes nothing.
func TestBusyReplicaMissesAProbe(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	busy := newFake(t, `{"concurrency":1}`, hold(arrived, release))
	p := start(t, forward.Config{Endpoints: []string{busy.URL}, ProbeInterval: 10 * time.Millisecond, Attempted: only(t, "completed")}, 1)
	answered := send(t, p, image)
	<-arrived
	var asked atomic.Int32
	missed := make(chan struct{})
	missesOne := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			<-r.Context().Done()
			close(missed)
		}
	})
	busy.ready.Store(&missesOne)
	<-missed
	next(t, busy.probes, "the probe after the missed one")
	if e := p.Endpoints()[0]; !e.Healthy {
		t.Errorf("endpoint %+v, want it healthy after one missed probe", e)
	}
	close(release)
	if a := <-answered; a.err != nil {
		t.Errorf("Classify: %v", a.err)
	}
}

// TestStoppingReplicaKeepsItsImages checks that a replica that refuses connections, as a stopping one does, finishes
// its images.
func TestStoppingReplicaKeepsItsImages(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	stopping := newFake(t, `{"concurrency":1}`, hold(arrived, release))
	p := start(t, forward.Config{Endpoints: []string{stopping.URL}, ProbeInterval: 10 * time.Millisecond,
		MaxBackoff: 10 * time.Millisecond, Attempted: only(t, "completed")}, 1)
	answered := send(t, p, image)
	<-arrived
	stopping.Config.SetKeepAlivesEnabled(false)
	if err := stopping.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	waitHealthy(t, p, 0)
	close(release)
	if a := <-answered; a.err != nil || a.result.Replica != stopping.URL {
		t.Errorf("Classify = %+v, %v, want the stopping replica's answer", a.result, a.err)
	}
}

// TestNotReady checks that a replica that is not ready gets no images until it is, and that the reason is reported.
func TestNotReady(t *testing.T) {
	t.Parallel()
	f := newFake(t, `{"concurrency":1}`, ours)
	p := start(t, forward.Config{Endpoints: []string{f.URL}, ProbeInterval: 10 * time.Millisecond, MaxBackoff: 10 * time.Millisecond}, 1)
	ready := f.ready.Load()
	warming := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	f.ready.Store(&warming)
	waitHealthy(t, p, 0)
	if e := p.Endpoints()[0]; !strings.Contains(e.Problem, "/health/ready returned status 503") {
		t.Errorf("problem %q does not have the probe's result", e.Problem)
	}
	if n, _ := p.Slots(); n != 0 {
		t.Errorf("%d slots, want none", n)
	}
	f.ready.Store(ready)
	waitHealthy(t, p, 1)
	if e := p.Endpoints()[0]; e.Problem != "" {
		t.Errorf("problem %q of a healthy endpoint", e.Problem)
	}
}

// TestInvalidInfo checks that a replica with an invalid /info gets no images.
func TestInvalidInfo(t *testing.T) {
	t.Parallel()
	for name, info := range map[string]string{
		"not JSON": "<html>", "a huge number": `{"concurrency":1e300}`,
		"more than is read": `{"warning":"` + strings.Repeat("x", 64<<10) + `"}`,
	} {
		f := newFake(t, info, ours)
		p := start(t, forward.Config{Endpoints: []string{f.URL}}, 0)
		waitFor(t, p, "a problem with /info that is "+name, func() bool {
			es := p.Endpoints()
			return len(es) == 1 && !es[0].Healthy && strings.Contains(es[0].Problem, "/info: ")
		})
	}
}

// TestRemovedEndpointKeepsItsImages checks that a removed endpoint finishes its images, is watched exactly until
// then, and keeps them if it is added again in the meantime.
func TestRemovedEndpointKeepsItsImages(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	a, b := newFake(t, `{"concurrency":1}`, hold(arrived, release)), newFake(t, `{"concurrency":1}`, ours)
	p := start(t, forward.Config{Endpoints: []string{a.URL}, ProbeInterval: 10 * time.Millisecond, Attempted: only(t, "completed")}, 1)
	answered := send(t, p, image)
	<-arrived
	set := func(urls ...string) {
		t.Helper()
		if err := p.SetEndpoints(urls); err != nil {
			t.Fatal(err)
		}
		waitFor(t, p, "the new endpoints", func() bool {
			es := p.Endpoints()
			return len(es) == len(urls) && es[0].URL == urls[0] && es[0].Healthy
		})
	}
	set(b.URL)
	if n := p.Leaving(); n != 1 {
		t.Errorf("%d endpoints leave, want 1", n)
	}
	next(t, a.probes, "a probe of the removed endpoint")
	set(a.URL)
	if e := p.Endpoints()[0]; e.InFlight != 1 {
		t.Errorf("endpoint %+v came back without its image", e)
	}
	set(b.URL)
	close(release)
	if got := <-answered; got.err != nil || got.result.Replica != a.URL {
		t.Errorf("Classify = %+v, %v, want the removed replica's answer", got.result, got.err)
	}
	waitFor(t, p, "the end of the removed endpoint's watch", func() bool { return p.Leaving() == 0 })
}

// TestRemovedEndpointIsForgotten checks that watching a removed endpoint ends with its last image, not with the next
// probe.
func TestRemovedEndpointIsForgotten(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	f := newFake(t, `{"concurrency":2}`, hold(arrived, release))
	p := start(t, forward.Config{Endpoints: []string{f.URL}, ProbeInterval: time.Hour}, 1)
	first, second := send(t, p, image), send(t, p, image)
	<-arrived
	<-arrived
	if err := p.SetEndpoints(nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, p, "the endpoint's leaving", func() bool { return p.Leaving() == 1 && len(p.Endpoints()) == 0 })
	if n, _ := p.Slots(); n != 0 {
		t.Errorf("%d slots of a removed endpoint", n)
	}
	close(release)
	for _, c := range []<-chan answer{first, second} {
		if a := <-c; a.err != nil {
			t.Errorf("Classify: %v", a.err)
		}
	}
	waitFor(t, p, "the end of its watch", func() bool { return p.Leaving() == 0 })
}
