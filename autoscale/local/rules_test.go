package local

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// TestDefaults checks one CPU per replica, the loopback address, and optional callbacks.
func TestDefaults(t *testing.T) {
	t.Parallel()
	r, err := New(Config{Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.cfg.CPUs != 1 || r.cfg.Host != "127.0.0.1" || r.cfg.Log == nil || r.cfg.InFlight() != nil {
		t.Errorf("defaults %+v", r.cfg)
	}
	r.cfg.Announce(nil)
	if wanted, ready := r.Replicas(); wanted != 2 || ready != 0 {
		t.Errorf("%d wanted, %d ready, want 2 and none", wanted, ready)
	}
	set, err := New(Config{CPUs: 3, Host: "127.0.0.9"})
	if err != nil || set.cfg.CPUs != 3 || set.cfg.Host != "127.0.0.9" {
		t.Errorf("defaults change what is set: %+v, %v", set.cfg, err)
	}
}

// TestSetReplicasAtItsBounds checks its limits, and that a change wakes the loop once.
func TestSetReplicasAtItsBounds(t *testing.T) {
	t.Parallel()
	for most, good := range map[int][]int{0: {0, 1, 1000}, 2: {0, 1, 2}} {
		r, err := New(Config{Max: most})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range good {
			if err := r.SetReplicas(t.Context(), n, autoscale.Decision{}); err != nil {
				t.Errorf("SetReplicas(%d) of at most %d: %v", n, most, err)
			}
			if wanted, _ := r.Replicas(); wanted != n || len(r.changed) != 1 {
				t.Errorf("%d wanted, %d changes wait, want %d and one", wanted, len(r.changed), n)
			}
		}
	}
}

// TestIdlest checks the order: replicas that do not serve, then fewest images, then newest.
func TestIdlest(t *testing.T) {
	t.Parallel()
	one := func(name string, ready bool) *replica { return &replica{name: name, url: name, ready: ready} }
	for name, test := range map[string]struct {
		all      []*replica
		inFlight map[string]int
		want     string
	}{
		"the newest":            {[]*replica{one("a", true), one("b", true), one("c", true)}, nil, "c"},
		"fewest images":         {[]*replica{one("a", true), one("b", true), one("c", true)}, map[string]int{"a": 2, "b": 1, "c": 3}, "b"},
		"of these the newest":   {[]*replica{one("a", true), one("b", true), one("c", true)}, map[string]int{"c": 3}, "b"},
		"one that starts":       {[]*replica{one("a", false), one("b", true)}, map[string]int{"a": 9}, "a"},
		"the newest that start": {[]*replica{one("a", false), one("b", false), one("c", true)}, nil, "b"},
	} {
		r := &Replicas{all: test.all}
		before := slices.Clone(test.all)
		if got := r.idlest(test.inFlight); got.name != test.want {
			t.Errorf("%s: %s, want %s", name, got.name, test.want)
		}
		if !slices.Equal(before, r.all) {
			t.Errorf("%s: the order of replicas has changed", name)
		}
	}
}

// TestScaleDescribes checks each replica's age, images, and CPU load once a window is complete.
func TestScaleDescribes(t *testing.T) {
	t.Parallel()
	r, err := New(Config{Count: 3, CPUs: 2, InFlight: func() map[string]int { return map[string]int{"u": 4} }})
	if err != nil {
		t.Fatal(err)
	}
	created := time.Now().Add(-time.Minute)
	window := autoscale.Window{End: time.Now(), Length: 15 * time.Second}
	r.all = []*replica{{name: "a", url: "u", ready: true, created: created, readyAt: created.Add(time.Second), pid: 7,
		cpu: cpu{pid: 7, since: time.Now(), last: 1.5, window: window}}, {name: "b", url: "v", created: created}}
	scale, err := r.Scale(t.Context())
	if err != nil || scale.Desired != 3 || len(scale.Replicas) != 2 {
		t.Fatalf("Scale = %+v, %v", scale, err)
	}
	a, b := scale.Replicas[0], scale.Replicas[1]
	if a.Name != "a" || a.URL != "u" || !a.Ready || a.InFlight != 4 || !a.Created.Equal(created) || !a.ReadyAt.Equal(created.Add(time.Second)) {
		t.Errorf("replica %+v", a)
	}
	if a.CPU == nil || *a.CPU != 0.75 || a.CPUWindow != window {
		t.Errorf("use of CPU %v over %+v, want 1.5 of 2", a.CPU, a.CPUWindow)
	}
	if b.Ready || b.InFlight != 0 || b.CPU != nil || !b.Starting() {
		t.Errorf("replica %+v, want one that starts", b)
	}
	if wanted, ready := r.Replicas(); wanted != 3 || ready != 1 {
		t.Errorf("%d wanted, %d ready, want 3 and 1", wanted, ready)
	}
}

// TestFreePort checks that ports are tried from the first upwards, and that ports in use or assigned to replicas are skipped.
func TestFreePort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	first := taken.Addr().(*net.TCPAddr).Port
	r, err := New(Config{FirstPort: first})
	if err != nil {
		t.Fatal(err)
	}
	one := new(replica)
	if err := r.place(one); err != nil || one.port <= first || one.url != fmt.Sprintf("http://127.0.0.1:%d", one.port) || !r.ports[one.port] {
		t.Errorf("place: %v, port %d at %s, want one above %d", err, one.port, one.url, first)
	}
	other := new(replica)
	if err := r.place(other); err != nil || other.port <= one.port {
		t.Errorf("the second got port %d, want one above the first's, %d, on which it does not yet listen", other.port, one.port)
	}
	before := one.port
	if err := r.place(one); err != nil || one.port <= other.port || r.ports[before] || !r.ports[one.port] {
		t.Errorf("moved: %v, from port %d to %d; ports %v", err, before, one.port, r.ports)
	}
	none, err := New(Config{FirstPort: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.freePort(); err == nil {
		t.Error("a port above all: no error")
	}
	last, err := New(Config{FirstPort: 1<<16 - 1})
	if err != nil {
		t.Fatal(err)
	}
	if port, err := last.freePort(); err == nil && port != 1<<16-1 {
		t.Errorf("from the last port up: %d", port)
	}
	any, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if port, err := any.freePort(); err != nil || port == 0 {
		t.Errorf("any port: %d, %v", port, err)
	}
}

// TestAnswersReady checks that the right process answers 200, with its id.
func TestAnswersReady(t *testing.T) {
	t.Parallel()
	code, body := http.StatusOK, `{"pid":7}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health/ready" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, test := range []struct {
		code int
		body string
		want int
	}{{200, `{"pid":7}`, 7}, {503, `{"pid":7}`, 0}, {200, `{`, 0}, {200, `{}`, 0}} {
		code, body = test.code, test.body
		if got := answersReady(t.Context(), &client, server.URL); got != test.want {
			t.Errorf("%d %s: process %d, want %d", test.code, test.body, got, test.want)
		}
	}
	server.Close()
	if got := answersReady(t.Context(), &client, server.URL); got != 0 {
		t.Errorf("nobody there: process %d", got)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if r.awaitReady(ended, server.URL, 7) {
		t.Error("a replica whose time is over is ready")
	}
}
