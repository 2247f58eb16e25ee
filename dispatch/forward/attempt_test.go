package forward_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestAttemptTimeout checks that an attempt ends in time, whichever step of the replica is slow.
func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	big := resnet18cloud.Image{Name: "big.jpg", Bytes: make([]byte, 32<<20)} // more than socket buffers hold
	for name, test := range map[string]struct {
		image   resnet18cloud.Image
		predict func(w http.ResponseWriter, r *http.Request, done <-chan struct{}) // done is closed after Classify
	}{
		"hangs": {image, func(_ http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}},
		"reads slowly": {big, func(_ http.ResponseWriter, r *http.Request, done <-chan struct{}) {
			for tick := time.NewTicker(10 * time.Millisecond); ; {
				if _, err := io.CopyN(io.Discard, r.Body, 1000); err != nil {
					return
				}
				select {
				case <-tick.C:
				case <-done: // otherwise it would read on from its socket buffer
					return
				}
			}
		}},
		"trickles its response": {image, func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, r.Body)
			for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
				if _, err := io.WriteString(w, " "); err != nil || r.Context().Err() != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{})
			slow := newFake(t, "{}", func(w http.ResponseWriter, r *http.Request) { test.predict(w, r, done) })
			p := start(t, forward.Config{Endpoints: []string{slow.URL}, AttemptTimeout: 200 * time.Millisecond}, 1)
			began := time.Now()
			_, err := p.Classify(t.Context(), test.image)
			close(done)
			if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeInternal || !strings.Contains(e.Message, "within 200ms") {
				t.Errorf("Classify: %v, want a timeout", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("Classify took %s", took)
			}
		})
	}
}

// TestCallerLeaves checks that the caller's cause is returned, and that the replica stays healthy.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	f := newFake(t, `{"concurrency":1,"queue":0}`, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	other := newFake(t, `{"concurrency":1,"queue":0}`, ours)
	p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("withdrawn")
	ended := make(chan error)
	classify := func() {
		_, err := p.Classify(ctx, image)
		ended <- err
	}
	go classify()
	<-arrived
	if err := p.SetEndpoints([]string{f.URL, other.URL}); err != nil { // another endpoint would be available
		t.Fatal(err)
	}
	waitHealthy(t, p, 2)
	cancel(cause)
	if err := <-ended; !errors.Is(err, cause) {
		t.Errorf("Classify: %v, want %v", err, cause)
	}
	if n := other.images.Load(); n != 0 {
		t.Errorf("another replica got the image")
	}
	for _, e := range p.Endpoints() {
		if !e.Healthy || e.InFlight != 0 {
			t.Errorf("endpoint %+v, want a healthy one without images", e)
		}
	}
}

// TestCallerLeavesQueue checks the same for an image that waits for a slot.
func TestCallerLeavesQueue(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	f := newFake(t, `{"concurrency":1,"queue":0}`, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		ours(w, r)
	})
	p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
	first := make(chan error)
	go func() {
		_, err := p.Classify(t.Context(), image)
		first <- err
	}()
	<-arrived
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("withdrawn")
	cancel(cause)
	if _, err := p.Classify(ctx, image); !errors.Is(err, cause) {
		t.Errorf("Classify: %v, want %v", err, cause)
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("Classify of the image before it: %v", err)
	}
}

// TestNoRedirects checks that images and probes go only to configured endpoints.
func TestNoRedirects(t *testing.T) {
	t.Parallel()
	other := newFake(t, "{}", prototype)
	moved := newFake(t, "{}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/predict", http.StatusTemporaryRedirect)
	})
	p := start(t, forward.Config{Endpoints: []string{moved.URL}}, 1)
	_, err := p.Classify(t.Context(), image)
	if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeInternal || !strings.Contains(e.Message, "returned status 307") {
		t.Errorf("Classify: %v, want an error with the redirect", err)
	}
	if n := other.images.Load(); n != 0 {
		t.Errorf("the image was sent on to another host")
	}
	away := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/health/ready", http.StatusTemporaryRedirect)
	})
	moved.ready.Store(&away)
	waitHealthy(t, p, 0)
	if problem := p.Endpoints()[0].Problem; !strings.Contains(problem, "returned status 307") {
		t.Errorf("problem %q does not have the redirect", problem)
	}
}

// TestInfoIsRead checks that an endpoint's slots and description follow its /info, within limits.
func TestInfoIsRead(t *testing.T) {
	t.Parallel()
	f := newFake(t, `{"concurrency":1024,"queue":1024,"weights":"w","precision":"int8","warning":"random",
		"quantization":{"state":"adopted","precision":"bf16","observed":200,"compared":8,"equal":7,"agreement":0.875,"wanted":0.95}}`, ours)
	p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
	want := forward.Endpoint{URL: f.URL, Healthy: true, Slots: 2048, Workers: 1024, Model: "w", Precision: "int8", Warning: "random", Serial: 1}
	got := p.Endpoints()[0]
	if q := got.Quantization; q == nil || *q != (forward.Quantization{State: "adopted", Precision: "bf16", Compared: 8, Equal: 7, Wanted: 0.95}) {
		t.Errorf("quantization %+v", q)
	}
	if got.Quantization = nil; got != want {
		t.Errorf("endpoint %+v, want %+v", got, want)
	}
	if n, _ := p.Slots(); n != 2048 {
		t.Errorf("%d slots, want 2048", n)
	}
	if n := p.Workers(); n != 1024 {
		t.Errorf("%d workers, want 1024", n)
	}
	if got := p.Answering(); len(got.Models) != 1 || got.Models[0] != (forward.Model{Weights: "w", Precision: "int8"}) || got.Warning != "random" {
		t.Errorf("answering %+v", got)
	}
}

// TestReplicasAreNotBelieved checks that a replica with an impossible /info gets no images, and that the log says why,
// once, however often it is probed.
func TestReplicasAreNotBelieved(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ info, reason string }{
		"many workers":          {`{"concurrency":1099511627776}`, "concurrency is 1099511627776, want 0 to 1024"},
		"more than a number":    {`{"concurrency":` + strings.Repeat("9", 50_000) + `}`, "cannot unmarshal number"},
		"another line of a log": {`{"concurrency":1,"weights":"w\nlevel=INFO"}`, "control characters"},
		"not JSON":              {`<html>`, "invalid character"},
		"endless":               {`{"concurrency":1,"other":"` + strings.Repeat("x", 1<<20), "unexpected end of JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log testutil.Log
			f := newFake(t, test.info, ours)
			p := start(t, forward.Config{Endpoints: []string{f.URL}, MaxBackoff: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))}, 0)
			for range 4 {
				<-f.probes
			}
			waitFor(t, p, "a reason", func() bool { return p.Endpoints()[0].Problem != "" })
			if e := p.Endpoints()[0]; e.Healthy || !strings.Contains(e.Problem, test.reason) || len(e.Problem) > 512 {
				t.Errorf("endpoint %+v, want unhealthy because of %q", e, test.reason)
			}
			if _, err := p.Classify(t.Context(), image); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable || f.images.Load() != 0 {
				t.Errorf("Classify: %v after %d images, want none", err, f.images.Load())
			}
			if got := log.String(); strings.Count(got, `level=WARN msg="endpoint refused" endpoint=`+f.URL) != 1 || len(got) > 2000 {
				t.Errorf("log %.2000s, want one line that says why", got)
			}
		})
	}
}

// TestDripFeedIsBounded checks that a replica whose response never ends takes no more than the attempt's time.
func TestDripFeedIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake(t, `{"concurrency":1}`, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			pause.For(r.Context(), 5*time.Millisecond)
		}
	})
	p := start(t, forward.Config{Endpoints: []string{f.URL}, AttemptTimeout: 200 * time.Millisecond}, 1)
	began := time.Now()
	_, err := p.Classify(t.Context(), image)
	if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeInternal || !strings.Contains(e.Message, "did not respond within 200ms") {
		t.Errorf("Classify: %v, want the attempt's timeout", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestErrorsHideReplicas checks that no error for clients has the URL of a replica.
func TestErrorsHideReplicas(t *testing.T) {
	t.Parallel()
	for name, predict := range map[string]http.HandlerFunc{
		"hangs up": hangUp, "fails": answers(500, ""), "is full": answers(503, ""), "refuses": answers(415, ""), "nonsense": answers(200, "{}"),
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://10.0.0.7/", http.StatusTemporaryRedirect)
		},
	} {
		f := newFake(t, "{}", predict)
		p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
		_, err := p.Classify(t.Context(), image)
		e := resnet18cloud.AsError(err)
		if e == nil || strings.Contains(e.Message+e.Hint, "127.0.0.1") || strings.Contains(e.Message+e.Hint, "10.0.0.7") {
			t.Errorf("%s: %+v, want an error without the URL", name, e)
		}
		if !strings.Contains(err.Error(), f.URL) {
			t.Errorf("%s: the log's error %q does not name the replica", name, err)
		}
	}
}

// TestTraceReachesReplicas checks the headers of an attempt: the client's X-Request-Id comes before the record's, and the
// span is new.
func TestTraceReachesReplicas(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	f := newFake(t, `{"concurrency":1}`, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		ours(w, r)
	})
	p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
	trace := resnet18cloud.NewTrace()
	trace.State = "rojo=1,congo=2"
	for want, given := range map[string]string{"record": "", "from-gateway": "from-gateway"} {
		trace.RequestID = given
		ctx := resnet18cloud.WithTrace(forward.WithRequestID(t.Context(), "record"), trace)
		if _, err := p.Classify(ctx, image); err != nil {
			t.Fatal(err)
		}
		h := <-got
		sent, ok := resnet18cloud.ParseTraceparent(h.Get("Traceparent"))
		if h.Get("X-Request-Id") != want || !ok || sent.ID != trace.ID || sent.Span == trace.Span {
			t.Errorf("X-Request-Id %q, traceparent %q, want %s and a child of %s", h.Get("X-Request-Id"), h.Get("Traceparent"), want, trace.Traceparent())
		}
		if got := h.Values("Tracestate"); len(got) != 1 || got[0] != trace.State {
			t.Errorf("tracestate %q, want %q", got, trace.State)
		}
	}
}

// TestRequestID checks that the replica receives the request ID for its log.
func TestRequestID(t *testing.T) {
	t.Parallel()
	for _, info := range []string{"", `{"concurrency":1}`} {
		id := make(chan string, 2)
		f := newFake(t, info, func(w http.ResponseWriter, r *http.Request) {
			id <- r.Header.Get("X-Request-Id")
			prototypeOrOurs(info)(w, r)
		})
		p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
		for ctx, want := range map[context.Context]string{t.Context(): "", forward.WithRequestID(t.Context(), "id-1"): "id-1"} {
			if _, err := p.Classify(ctx, image); err != nil {
				t.Fatal(err)
			}
			if got := <-id; got != want {
				t.Errorf("X-Request-Id %q, want %q", got, want)
			}
		}
	}
}

// TestForwardTime checks that Forward is the time beyond the replica's own, and is never negative.
func TestForwardTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer  string
		replica time.Duration
		forward bool
	}{
		"replica reports its time":           {`{"predictions":["junco"],"inference_time":3600,"timing":{"replica":0.000001}}`, time.Microsecond, true},
		"reports only the inference time":    {`{"predictions":["junco"],"inference_time":0.000001}`, time.Microsecond, true},
		"reports more than the elapsed time": {`{"predictions":["junco"],"inference_time":3600}`, time.Hour, false},
	} {
		f := newFake(t, "{}", answers(200, test.answer))
		p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
		r, err := p.Classify(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if r.Timing.Replica != test.replica || (r.Timing.Forward > 0) != test.forward || r.Timing.Forward < 0 || r.Timing.Forward > time.Minute {
			t.Errorf("%s: %+v", name, r.Timing)
		}
		if r.Filename != image.Name {
			t.Errorf("%s: filename %q, want the image's", name, r.Filename)
		}
	}
}

// TestAnswersAreBounded checks that a response has at most 64 KiB.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	answer := `{"predictions":["junco"]}`
	for size, ok := range map[int]bool{most: true, most + 1: false} {
		f := newFake(t, "{}", answers(200, strings.Repeat(" ", size-len(answer))+answer))
		p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
		_, err := p.Classify(t.Context(), image)
		if (err == nil) != ok {
			t.Errorf("an answer of %d bytes: %v", size, err)
		}
	}
}

// TestClosedConnection checks that an image is sent again if the idle connection chosen by the transport turns out to
// be closed, and that this is not a failure of the replica.
func TestClosedConnection(t *testing.T) {
	t.Parallel()
	for _, info := range []string{"", `{"concurrency":1}`} {
		var f *fake
		f = newFake(t, info, func(w http.ResponseWriter, r *http.Request) {
			if f.requests(r) > 1 {
				hangUp(w, r)
			}
			prototypeOrOurs(info)(w, r)
		})
		p := start(t, forward.Config{Endpoints: []string{f.URL}, Attempted: only(t, "completed")}, 1) // by probes, which leave an idle connection
		if r, err := p.Classify(t.Context(), image); err != nil || r.Predictions[0] != "junco" {
			t.Errorf("Classify = %+v, %v, want an answer", r, err)
		}
		if n := f.images.Load(); n < 2 {
			t.Errorf("the image was sent %d times, want twice: the connection was not used again", n)
		}
	}
}
