package forward_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// fake is a replica whose behavior is set by the test, for behavior that a real one has only when it is broken.
type fake struct {
	*httptest.Server
	info    string // body of /info; if empty, /info is 404, as in the prototype's replica
	ready   atomic.Pointer[http.HandlerFunc]
	predict atomic.Pointer[http.HandlerFunc]
	images  atomic.Int32  // requests to classify
	probes  chan struct{} // receives a value for each answered GET /info, up to 1000
}

func newFake(t testing.TB, info string, predict http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{info: info, probes: make(chan struct{}, 1000)}
	f.predict.Store(&predict)
	alive := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	f.ready.Store(&alive)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, r *http.Request) { (*f.ready.Load())(w, r) })
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, r *http.Request) {
		select {
		case f.probes <- struct{}{}:
		default:
		}
		if f.info == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, f.info)
	})
	mux.HandleFunc("POST /predict", func(w http.ResponseWriter, r *http.Request) {
		f.images.Add(1)
		(*f.predict.Load())(w, r)
	})
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(requestsKey{}).(*atomic.Int32).Add(1)
		mux.ServeHTTP(w, r)
	}))
	f.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, requestsKey{}, new(atomic.Int32))
	}
	f.Start()
	t.Cleanup(f.Close)
	return f
}

type requestsKey struct{}

// requests returns how many requests have been received on the connection of r.
func (*fake) requests(r *http.Request) int {
	return int(r.Context().Value(requestsKey{}).(*atomic.Int32).Load())
}

// prototype responds like the Python replica: three fields, image in a form.
func prototype(w http.ResponseWriter, r *http.Request) {
	file, header, err := r.FormFile("image")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	content, _ := io.ReadAll(file)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"filename": header.Filename, "inference_time": 0.25, "predictions": []string{string(content)},
	})
}

// ours responds like our replicas: the image is the body, its name is in the query.
func ours(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"filename": r.FormValue("filename"), "inference_time": 0.25, "predictions": []string{string(content)},
	})
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hangUp closes the connection without a response, like a replica that dies.
func hangUp(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

// start runs a pool on the endpoints until the end of the test, and waits until the given number of them is healthy.
func start(t testing.TB, cfg forward.Config, healthy int) *forward.Pool {
	t.Helper()
	p, err := forward.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	waitHealthy(t, p, healthy)
	return p
}

// waitFor polls until the condition is true, for changes without an event.
func waitFor(t *testing.T, p *forward.Pool, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %+v", what, p.Endpoints())
		}
	}
}

// only returns a Config.Attempted that fails the test for any other outcome.
func only(t *testing.T, want string) func(string) {
	return func(outcome string) {
		if outcome != want {
			t.Errorf("an attempt ended with %s, want %s", outcome, want)
		}
	}
}

// waitHealthy waits until the given number of endpoints is healthy.
func waitHealthy(t testing.TB, p *forward.Pool, want int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		_, changed := p.Slots()
		got := 0
		for _, e := range p.Endpoints() {
			if e.Healthy {
				got++
			}
		}
		if got == want {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d endpoints healthy, want %d: %+v", got, want, p.Endpoints())
		}
	}
}

// image has a name that needs escaping.
var image = resnet18cloud.Image{Name: `a "quoted" name.jpg`, Bytes: []byte("junco")}

// prototypeOrOurs returns the handler that matches the body of /info.
func prototypeOrOurs(info string) http.HandlerFunc {
	if info == "" {
		return prototype
	}
	return ours
}
