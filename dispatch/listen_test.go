package dispatch_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// startSecureReplica is startReplica for a replica that serves only clients with a certificate of the authority.
func startSecureReplica(t testing.TB, files tlsfiles.Files, concurrency int, c resnet18cloud.Classifier) string {
	t.Helper()
	return serveReplica(t, replica.Config{TLS: files, Concurrency: concurrency}, c)
}

// TestMutualTLSWithReplicas sends an image by HTTPS to a dispatcher that shows its certificate to the replica, and to
// dispatchers without one that the replica accepts, or without trust in the replica's.
func TestMutualTLSWithReplicas(t *testing.T) {
	t.Parallel()
	ours, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	url := startSecureReplica(t, ours.Issue(t), 1, opened())
	own, stranger := ours.Issue(t), other.Issue(t)
	for name, test := range map[string]struct {
		files   tlsfiles.Files
		problem string
	}{
		"mutual":           {own, ""},
		"no certificate":   {tlsfiles.Files{CA: own.CA}, "certificate required"},
		"a stranger's":     {tlsfiles.Files{Cert: stranger.Cert, Key: stranger.Key, CA: own.CA}, "certificate"},
		"no trust":         {tlsfiles.Files{Cert: own.Cert, Key: own.Key, CA: stranger.CA}, "unknown authority"},
		"system's trust":   {tlsfiles.Files{}, "unknown authority"},
		"plain to replica": {tlsfiles.Files{}, "400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := url
			if strings.HasPrefix(name, "plain") {
				endpoint = "http" + strings.TrimPrefix(url, "https")
			}
			front := ours.Issue(t)
			c := start(t, dispatch.Config{Endpoints: []string{endpoint}, ReplicaTLS: test.files,
				TLS: tlsfiles.Files{Cert: front.Cert, Key: front.Key}, QueueCapacity: 10})
			if !strings.HasPrefix(c.url, "https://") {
				t.Fatalf("the URL is %s", c.url)
			}
			c.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: ours.Pool()}
			if test.problem != "" {
				c.eventually("the problem is known", func() bool {
					e := c.d.Endpoints()
					return len(e) == 1 && !e[0].Healthy && strings.Contains(e[0].Problem, test.problem)
				})
				return
			}
			c.eventually("replica is healthy", func() bool { return c.get("/health/ready").status == http.StatusOK })
			if got := c.post("/predict", "a.jpg", "image"); got.status != http.StatusOK || !strings.Contains(got.body, label([]byte("image"))) {
				t.Errorf("POST /predict over TLS: %d %s", got.status, got.body)
			}
		})
	}
}

// TestReplicasByName checks that replicas behind a name are verified by the name: their certificates do not have their
// addresses.
func TestReplicasByName(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	url := startSecureReplica(t, authority.ForNames(t, "localhost"), 1, opened())
	port := url[strings.LastIndex(url, ":"):]
	for endpoint, want := range map[string]bool{"dns+https://localhost" + port: true, "https://localhost" + port: true, "https://127.0.0.1" + port: false} {
		c := start(t, dispatch.Config{Endpoints: []string{endpoint}, ReplicaTLS: authority.Issue(t), QueueCapacity: 10})
		c.eventually(endpoint+" is judged", func() bool {
			for _, e := range c.d.Endpoints() {
				if e.Healthy || strings.Contains(e.Problem, "certificate") {
					return e.Healthy == want
				}
			}
			return false
		})
	}
}

// TestTLSFilesAreReadAtListen checks that a missing file stops a dispatcher before it starts.
func TestTLSFilesAreReadAtListen(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]dispatch.Config{
		"own":        {TLS: tlsfiles.Files{Cert: "missing.crt", Key: "missing.key"}},
		"of clients": {ReplicaTLS: tlsfiles.Files{CA: "missing.crt"}},
	} {
		cfg.Addr = "127.0.0.1:0"
		d, err := dispatch.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Listen(); err == nil || !strings.Contains(err.Error(), "missing.crt") {
			t.Errorf("%s: Listen = %v, want an error that names the file", name, err)
		}
	}
	for _, cfg := range []dispatch.Config{{TLS: tlsfiles.Files{CA: "ca"}}, {TLS: tlsfiles.Files{Key: "k"}}, {ReplicaTLS: tlsfiles.Files{Key: "k"}},
		{Guard: httpx.Guard{Origins: []string{"example.com"}}}} {
		if _, err := dispatch.New(cfg); err == nil {
			t.Errorf("New(%+v): no error", cfg)
		}
	}
}

// TestAdminAddress checks which endpoints each of two servers has.
func TestAdminAddress(t *testing.T) {
	t.Parallel()
	one := startServing(t, dispatch.Config{}, 1, opened())
	two := startServing(t, dispatch.Config{AdminAddr: "127.0.0.1:0"}, 1, opened())
	if one.d.AdminURL() != "" {
		t.Errorf("AdminURL %q, want none", one.d.AdminURL())
	}
	operators := *two
	operators.url = two.d.AdminURL()
	for _, test := range []struct {
		method, path                 string
		single, public, forOperators int
	}{
		{"GET", "/metrics", 200, 404, 200},
		{"GET", "/cache/stats", 200, 404, 200},
		{"POST", "/cache/clear", 200, 404, 200},
		{"GET", "/debug/pprof/", 404, 404, 200},
		{"GET", "/debug/pprof/heap", 404, 404, 200},
		{"GET", "/debug/pprof/cmdline", 404, 404, 200},
		{"GET", "/health", 200, 200, 200},
		{"GET", "/health/live", 200, 200, 200},
		{"GET", "/health/ready", 200, 200, 200},
		{"GET", "/status", 200, 200, 404},
		{"GET", "/results", 200, 200, 404},
	} {
		for who, want := range map[*client]int{one: test.single, two: test.public, &operators: test.forOperators} {
			if got := who.do(http.NewRequest(test.method, who.url+test.path, nil)); got.status != want {
				t.Errorf("%s %s%s: %d, want %d", test.method, who.url, test.path, got.status, want)
			}
		}
	}
}

// TestAdminAddressAndKeys checks that reading metrics there needs no key, and that changing something does.
func TestAdminAddressAndKeys(t *testing.T) {
	t.Parallel()
	c := start(t, dispatch.Config{AdminAddr: "127.0.0.1:0", Classifier: opened(), Access: accesstest.Guard(t)})
	operators := *c
	operators.url = c.d.AdminURL()
	for path, want := range map[string]int{"/metrics": 200, "/debug/pprof/": 200, "/health/ready": 200} {
		if got := operators.get(path); got.status != want {
			t.Errorf("GET %s without a key: %d, want %d", path, got.status, want)
		}
	}
	for token, want := range map[string]int{"": 401, accesstest.Monitor: 403, accesstest.Ops: 200} {
		who := &operators
		if token != "" {
			who = operators.as(token)
		}
		if got := who.do(http.NewRequest(http.MethodPost, operators.url+"/cache/clear", nil)); got.status != want {
			t.Errorf("POST /cache/clear as %q: %d, want %d", token, got.status, want)
		}
	}
}

// TestOtherSitesPages sends what pages of other sites make a browser send.
func TestOtherSitesPages(t *testing.T) {
	t.Parallel()
	const allowed = "https://photos.example"
	c := startServing(t, dispatch.Config{Page: http.NotFoundHandler(), Guard: httpx.Guard{Origins: []string{allowed}}}, 1, opened())
	if got := c.post("/predict_async", "a.jpg", "image", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); got.status != http.StatusForbidden ||
		!strings.Contains(got.body, `"code":"forbidden"`) {
		t.Errorf("a form of another site: %d %s, want 403", got.status, got.body)
	}
	if got := c.post("/predict", "a.jpg", "image", "Origin", allowed, "Sec-Fetch-Site", "cross-site"); got.status != http.StatusOK ||
		got.header.Get("Access-Control-Allow-Origin") != allowed {
		t.Errorf("an allowed page: %d %s %v", got.status, got.body, got.header)
	}
	got := c.post("/predict", "b.jpg", "another", "Origin", c.url, "Sec-Fetch-Site", "same-origin")
	if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("its own page: %d %s %v", got.status, got.body, got.header)
	}
	req, err := http.NewRequest(http.MethodGet, c.url+"/results", nil)
	if err == nil {
		req.Host = "evil.example" // resolved to 127.0.0.1
	}
	if got := c.do(req, err); got.status != http.StatusForbidden || strings.Contains(got.body, "total") {
		t.Errorf("a rebound name: %d %s, want 403", got.status, got.body)
	}
}

// TestServeHTTP checks that this process needs neither TLS nor a Host.
func TestServeHTTP(t *testing.T) {
	t.Parallel()
	c := start(t, dispatch.Config{Classifier: opened()})
	w := httptest.NewRecorder()
	c.d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://dispatcher/status", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "queue_size") {
		t.Errorf("GET /status = %d %s", w.Code, w.Body)
	}
}

// TestHTTP2 sends images to a dispatcher on one connection without TLS.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &p}
	t.Cleanup(transport.CloseIdleConnections)
	c.http = &http.Client{Transport: transport, Timeout: time.Minute}
	for _, content := range []string{"one", "two", strings.Repeat("three", 1<<20)} {
		if got := c.post("/predict", "a.jpg", content); got.status != http.StatusOK || !strings.Contains(got.body, label([]byte(content))) {
			t.Errorf("POST /predict: %d %s", got.status, got.body)
		}
	}
}
