package autoscaler

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
)

// TestDispatchersWithTLS polls a dispatcher that demands a certificate, by its address and by a name.
func TestDispatchersWithTLS(t *testing.T) {
	t.Parallel()
	ours, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	own, stranger := ours.Issue(t), other.Issue(t)
	certs := tlsfiles.New(ours.Issue(t, "dispatchers.example"), nil)
	if err := certs.Load(); err != nil {
		t.Fatal(err)
	}
	d := &dispatcher{}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"queue_size":7}`)) }))
	d.Listener = tls.NewListener(d.Listener, certs.Server())
	d.Start()
	t.Cleanup(d.Close)
	address := strings.TrimPrefix(d.URL, "http://")
	_, port, _ := strings.Cut(address, ":")
	for name, test := range map[string]struct {
		url   string
		files tlsfiles.Files
		want  string // of the error
	}{
		"by address":     {"https://" + address, own, ""},
		"by name":        {"dns+https://dispatchers.example:" + port, own, ""},
		"another's name": {"dns+https://other.example:" + port, own, "not other.example"},
		"no certificate": {"https://" + address, tlsfiles.Files{CA: own.CA}, "certificate"},
		"no trust":       {"https://" + address, tlsfiles.Files{Cert: own.Cert, Key: own.Key, CA: stranger.CA}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAutoscaler(t, Config{Dispatchers: []string{test.url}, Scaler: newScaler(1), NewPolicy: wants(1), DispatcherTLS: test.files,
				Lookup: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }})
			if err := a.Listen(); err != nil {
				t.Fatal(err)
			}
			a.collect.lookUp(t.Context())
			err := a.collect.poll(t.Context())
			if test.want == "" && (err != nil || a.collect.snapshot(autoscale.Scale{}).Queue != 7) {
				t.Errorf("poll: %v, want the figures", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("poll: %v, want an error with %q", err, test.want)
			}
		})
	}
	a := newAutoscaler(t, Config{Dispatchers: []string{"https://x"}, Scaler: newScaler(1), NewPolicy: wants(1), DispatcherTLS: tlsfiles.Files{CA: "missing.crt"}})
	if err := a.Listen(); err == nil || !strings.Contains(err.Error(), "missing.crt") {
		t.Errorf("Listen without the file: %v, want an error that names it", err)
	}
}

// TestReplicasByAddress checks that figures of replicas are found whether dispatchers reach them by https or not.
func TestReplicasByAddress(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{"http://a:1": "a:1", "https://a:1/": "a:1", "a": "a"} {
		if got := address(url); got != want {
			t.Errorf("address(%q) = %q, want %q", url, got, want)
		}
	}
}

// TestAdminAddress checks which endpoints each of two servers has, and that both refuse other names.
func TestAdminAddress(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.sayCounts(10, 100, 100, 25)
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(5), Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0",
		Guard: httpx.Guard{Hosts: []string{"proxy.example"}}})
	if err := a.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(url, host string) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for path, want := range map[string][2]int{
		"/decisions": {404, 200}, "/metrics": {404, 200}, "/debug/pprof/": {404, 200}, "/health": {200, 200},
	} {
		for i, url := range []string{a.URL(), a.AdminURL()} {
			if got := get(url+path, "localhost"); got != want[i] {
				t.Errorf("GET %s%s = %d, want %d", url, path, got, want[i])
			}
			if got := get(url+path, "evil.example"); got != http.StatusForbidden {
				t.Errorf("GET %s%s as another host = %d, want 403", url, path, got)
			}
			if got := get(url+path, "proxy.example"); got != want[i] {
				t.Errorf("GET %s%s as the allowed host = %d, want %d", url, path, got, want[i])
			}
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
}
