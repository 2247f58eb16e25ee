//go:build unix

package local_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/local"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/procs"
)

// The test binary also runs as replica: TEST_REPLICA is the address to serve on.
func TestMain(m *testing.M) {
	if addr := os.Getenv("TEST_REPLICA"); addr != "" {
		os.Exit(serve(addr))
	}
	goleak.VerifyTestMain(m)
}

// ready answers every request as a replica answers GET /health/ready.
func ready(w http.ResponseWriter, _ *http.Request) {
	httpx.WriteJSON(w, http.StatusOK, map[string]int{"pid": os.Getpid()})
}

// serve answers readiness probes like a replica, until SIGTERM.
func serve(addr string) int {
	s := httpx.Server{Addr: addr, Handler: http.HandlerFunc(ready)}
	if err := s.Listen(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := s.Run(context.Background()); err != nil { // SIGTERM ends the process: nothing is in flight
		return 1
	}
	return 0
}

// machine is a running set of replicas and what it announced.
type machine struct {
	*local.Replicas
	announced chan []string // every list that was announced
	stop      context.CancelFunc
	done      chan error

	mu       sync.Mutex
	inFlight map[string]int // guarded by mu
}

func start(t *testing.T, cfg local.Config) *machine {
	t.Helper()
	m := &machine{announced: make(chan []string, 1000), done: make(chan error, 1), inFlight: make(map[string]int)}
	if cfg.Command == nil {
		cfg.Command = func(name, addr string) procs.Process {
			return procs.Process{Name: name, Path: os.Args[0], Env: append(os.Environ(), "TEST_REPLICA="+addr),
				MinBackoff: time.Millisecond}
		}
	}
	cfg.Announce = func(urls []string) { m.announced <- urls }
	cfg.InFlight = func() map[string]int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.inFlight
	}
	var err error
	if m.Replicas, err = local.New(cfg); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); m.done <- m.Run(ctx) }()
	t.Cleanup(func() { m.stop(); <-ended; http.DefaultClient.CloseIdleConnections() })
	return m
}

// serving waits until n replicas are announced, and returns their URLs.
func (m *machine) serving(t *testing.T, n int) []string {
	t.Helper()
	for {
		select {
		case urls := <-m.announced:
			if len(urls) == n {
				return urls
			}
		case err := <-m.done:
			t.Fatalf("Run: %v, while waiting for %d replicas", err, n)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

func (m *machine) set(t *testing.T, n int) {
	t.Helper()
	if err := m.SetReplicas(t.Context(), n, autoscale.Decision{}); err != nil {
		t.Fatal(err)
	}
}

func TestScales(t *testing.T) {
	t.Parallel()
	m := start(t, local.Config{Count: 1})
	first := m.serving(t, 1)
	m.set(t, 3)
	three := m.serving(t, 3)
	for _, url := range three {
		resp, err := http.Get(url + "/health")
		if err != nil {
			t.Fatalf("announced %s: %v", url, err)
		}
		resp.Body.Close()
	}
	if wanted, ready := m.Replicas.Replicas(); wanted != 3 || ready != 3 {
		t.Errorf("Replicas: %d wanted, %d ready, want 3, 3", wanted, ready)
	}
	scale, err := m.Scale(t.Context())
	if err != nil || scale.Desired != 3 || len(scale.Replicas) != 3 {
		t.Fatalf("Scale: %+v, %v, want 3 replicas", scale, err)
	}
	for _, r := range scale.Replicas {
		if !r.Ready || r.Starting() || r.Created.IsZero() || r.ReadyAt.Before(r.Created) || !slices.Contains(three, r.URL) {
			t.Errorf("Scale: replica %+v, want one that serves", r)
		}
	}
	if !slices.Contains(three, first[0]) {
		t.Errorf("the first replica, %s, is not among %v", first[0], three)
	}

	m.set(t, 0)
	m.serving(t, 0)
	m.set(t, 1)
	m.serving(t, 1)
	m.stop()
	if err := <-m.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestStopsTheIdlest checks that of three replicas the one without work is stopped first, regardless of its age.
func TestStopsTheIdlest(t *testing.T) {
	t.Parallel()
	m := start(t, local.Config{Count: 3})
	urls := m.serving(t, 3)
	m.mu.Lock()
	m.inFlight = map[string]int{urls[0]: 2, urls[1]: 0, urls[2]: 1}
	m.mu.Unlock()
	m.set(t, 2)
	if left, want := m.serving(t, 2), []string{urls[0], urls[2]}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
	m.set(t, 1)
	if left, want := m.serving(t, 1), urls[:1]; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// TestRestarts kills a replica more often than would count as inability, and checks that it is taken off the
// list and comes back each time, on the same port.
func TestRestarts(t *testing.T) {
	t.Parallel()
	m := start(t, local.Config{Count: 1})
	url := m.serving(t, 1)[0]
	for range 7 {
		killed := m.List()[0].PID
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		m.serving(t, 0)
		if again := m.serving(t, 1)[0]; again != url {
			t.Errorf("URL %s after a restart, want %s", again, url)
		}
		if got := m.List()[0]; got.PID == killed || !got.Ready {
			t.Errorf("List: %+v, want another process than %d, ready", got, killed)
		}
	}
}

func TestGivesUpOnWhatNeverServed(t *testing.T) {
	t.Parallel()
	m := start(t, local.Config{Count: 1, Command: func(name, _ string) procs.Process {
		return procs.Process{Name: name, Path: os.Args[0], Env: append(os.Environ(), "TEST_REPLICA=nonsense"),
			MinBackoff: time.Millisecond}
	}})
	if err := <-m.done; !errors.Is(err, procs.ErrGaveUp) {
		t.Errorf("Run: %v, want ErrGaveUp", err)
	}
}

// TestSkipsPortsInUse checks that ports are tried from the first upwards, and that one in use is skipped.
func TestSkipsPortsInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	m := start(t, local.Config{Count: 1, FirstPort: port})
	if url := m.serving(t, 1)[0]; url == fmt.Sprintf("http://127.0.0.1:%d", port) {
		t.Errorf("replica at %s, which is in use", url)
	}
}

// TestPortIsTaken has another server take the port that was found free, before the replica can: it is not
// mistaken for the replica, which uses another port.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	var stranger *httptest.Server
	m := start(t, local.Config{Count: 1, Command: func(name, addr string) procs.Process {
		if stranger == nil {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Error(err)
				return procs.Process{Path: "/nonexistent"}
			}
			stranger = &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(ready)}}
			stranger.Start()
		}
		return procs.Process{Name: name, Path: os.Args[0], Env: append(os.Environ(), "TEST_REPLICA="+addr),
			MinBackoff: time.Millisecond}
	}})
	url := m.serving(t, 1)[0]
	defer stranger.Close()
	if url == stranger.URL {
		t.Errorf("the stranger at %s was announced", url)
	}
	if answered := m.List()[0]; answered.URL != url || answered.PID == 0 {
		t.Errorf("List: %+v, want the replica at %s", answered, url)
	}
}

// TestCannotStartAnother checks that replicas go on serving when the system does not start the process of another one, which
// starts when it does.
func TestCannotStartAnother(t *testing.T) {
	t.Parallel()
	refused := false
	m := start(t, local.Config{Count: 1, Command: func(name, addr string) procs.Process {
		p := procs.Process{Name: name, Path: os.Args[0], Env: append(os.Environ(), "TEST_REPLICA="+addr), MinBackoff: time.Millisecond}
		if name == "replica-2" && !refused {
			p.Path, refused = "/nonexistent", true
		}
		return p
	}})
	m.serving(t, 1)
	m.set(t, 2)
	m.serving(t, 2)
	if !refused {
		t.Error("the second replica was started at the first attempt")
	}
}

// TestCannotStartTheFirst checks that Run fails if not even one replica can be started.
func TestCannotStartTheFirst(t *testing.T) {
	t.Parallel()
	m := start(t, local.Config{Count: 1, Command: func(name, _ string) procs.Process {
		return procs.Process{Name: name, Path: "/nonexistent"}
	}})
	if err := <-m.done; !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run: %v, want that there is no such file", err)
	}
}

// TestNoPortForAnother checks that replicas go on serving when there is no port for another one, which starts when there is.
func TestNoPortForAnother(t *testing.T) {
	t.Parallel()
	const last = 1<<16 - 1
	m := start(t, local.Config{Count: 1, FirstPort: last})
	first := m.serving(t, 1)[0]
	m.set(t, 2)
	m.set(t, 0)
	m.serving(t, 0)
	m.set(t, 1)
	if again := m.serving(t, 1)[0]; again != first {
		t.Errorf("URL %s, want %s: its port is free again", again, first)
	}
	m.set(t, 2)
	if err := syscall.Kill(m.List()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.serving(t, 0)
	m.serving(t, 1)
}

func TestBounds(t *testing.T) {
	t.Parallel()
	r, err := local.New(local.Config{Count: 1, Max: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{-1, 3} {
		if err := r.SetReplicas(t.Context(), n, autoscale.Decision{}); err == nil {
			t.Errorf("SetReplicas(%d) of at most 2: no error", n)
		}
	}
	if _, err := local.New(local.Config{Count: 3, Max: 2}); err == nil {
		t.Error("New with 3 of at most 2 replicas: no error")
	}
}
