//go:build soak && linux

package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// The addresses of the clients, by kind: a dispatcher without keys tells clients apart by address.
const (
	goodAddr, slowAddr, brokenAddr, hostileAddr, floodAddr = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"
)

const (
	goodPerSecond  = 4
	floodPerSecond = 40
	hostileClients = 8
)

// clients are all clients of a run.
type clients struct {
	t       *testing.T
	url     string
	ttl     time.Duration // of results: what has not ended by then is lost
	picture []byte
	worst   map[string][]byte
	number  atomic.Int64 // makes uploads unique

	mu         sync.Mutex
	transports []*http.Transport         // guarded by mu
	outcomes   map[string]map[string]int // guarded by mu: number of responses by kind of client and outcome
	took       []time.Duration           // guarded by mu: latencies of good clients
	lost       []string                  // guarded by mu: requests that were accepted and did not end
	late       [2]int                    // guarded by mu: of the flood, accepted when the pace was known, and those of them that ended unavailable
}

// newClients returns the clients of a dispatcher that keeps results for ttl.
func newClients(t *testing.T, url string, ttl time.Duration) *clients {
	return &clients{t: t, url: url, ttl: ttl, picture: photo(t), worst: worst(t), outcomes: map[string]map[string]int{}}
}

// from returns a client with its own address, whose connections last as long as the test.
func (c *clients) from(addr string) *http.Client {
	dialer := dialerFrom(addr)
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 100}
	c.t.Cleanup(transport.CloseIdleConnections)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transports = append(c.transports, transport)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func dialerFrom(addr string) net.Dialer {
	return net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
}

// unique returns a copy of the picture with a number behind its end.
func (c *clients) unique() []byte {
	return fmt.Appendf(bytes.Clone(c.picture), "%012d", c.number.Add(1))
}

// note counts an outcome.
func (c *clients) note(kind, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcomes[kind] == nil {
		c.outcomes[kind] = map[string]int{}
	}
	c.outcomes[kind][outcome]++
}

// leave closes the idle connections of all clients.
func (c *clients) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// reset forgets what was counted.
func (c *clients) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes, c.took = map[string]map[string]int{}, nil
}

// answer is a response, as far as clients look at it.
type answer struct {
	HTTPStatus int    `json:"-"`
	RequestID  string `json:"request_id"`
	Status     string `json:"status"`
	Code       string `json:"code"`
}

// outcome names a response in the report.
func (a answer) outcome() string {
	name := fmt.Sprint(a.HTTPStatus)
	if a.Status != "" {
		name += " " + a.Status
	}
	if a.Code != "" {
		name += " " + a.Code
	}
	return name
}

// do sends a request.
func do(ctx context.Context, client *http.Client, method, url string, header http.Header, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, header)
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{HTTPStatus: resp.StatusCode}
	_ = json.Unmarshal(text, &a) // the page and lists have other fields
	return a, nil
}

var jpegHeader = http.Header{"Content-Type": {"image/jpeg"}}

// start starts all kinds of clients. The returned function waits for them after ctx has ended.
func (c *clients) start(ctx context.Context) (stop func()) {
	var all sync.WaitGroup
	holders := map[string]struct {
		n int
		h harness.Holder
	}{
		"slow uploads":   {16, harness.Upload("/predict", 100_000, 4_000)},
		"silent uploads": {50, harness.Upload("/predict_async", 100_000, 0)},
		"large bursts":   {20, harness.Burst("/predict_async", 10_000_000)},
		"slow headers":   {50, harness.SlowHeaders},
		"unread lists":   {20, harness.Ask("GET /results?limit=1000", harness.Leave)},
	}
	var stops []func()
	for _, h := range holders {
		stops = append(stops, harness.Hold(c.t, dialerFrom(slowAddr), strings.TrimPrefix(c.url, "http://"), h.n, h.h))
	}
	all.Go(func() { c.good(ctx) })
	all.Go(func() { c.flood(ctx) })
	all.Go(func() { c.broken(ctx) })
	hostile := c.from(hostileAddr)
	for range hostileClients {
		all.Go(func() { c.hostile(ctx, hostile) })
	}
	return func() {
		all.Wait()
		for _, stop := range stops {
			stop()
		}
	}
}

// goodFor runs only the good client for a time.
func (c *clients) goodFor(ctx context.Context, length time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	c.good(ctx)
}

// good sends images on schedule and waits for their results.
func (c *clients) good(ctx context.Context) {
	client := c.from(goodAddr)
	c.paced(ctx, goodPerSecond, func(due time.Time) {
		a, err := do(context.WithoutCancel(ctx), client, http.MethodPost, c.url+"/predict", jpegHeader, bytes.NewReader(c.unique()))
		if err != nil {
			c.note("good", err.Error())
			return
		}
		c.note("good", a.outcome())
		c.mu.Lock()
		c.took = append(c.took, time.Since(due))
		c.mu.Unlock()
	})
}

// flood submits images at ten times that rate, and follows each accepted one to its end.
func (c *clients) flood(ctx context.Context) {
	client := c.from(floodAddr)
	known := time.Now().Add(learning)
	c.paced(ctx, floodPerSecond, func(due time.Time) {
		a, err := do(context.WithoutCancel(ctx), client, http.MethodPost, c.url+"/predict_async", jpegHeader, bytes.NewReader(c.unique()))
		if err != nil {
			c.note("flood", err.Error())
			return
		}
		c.note("flood", a.outcome())
		if a.HTTPStatus != http.StatusAccepted {
			return
		}
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ttl+time.Minute)
		defer cancel()
		for patient.Err() == nil {
			end, err := do(patient, client, http.MethodGet, c.url+"/result/"+a.RequestID+"?wait=20s", nil, nil)
			if err == nil && (end.Status == "completed" || end.Status == "failed") {
				c.note("flood", "then "+end.outcome())
				c.noteLate(due.After(known), end.Code == "unavailable")
				return
			}
			if err == nil && end.HTTPStatus == http.StatusNotFound {
				break
			}
			pause.For(patient, 200*time.Millisecond)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost = append(c.lost, a.RequestID)
	})
}

// learning is the time in which the dispatcher measures how much slower replicas are with all clients: what it accepts
// until then may be too much.
const learning = 30 * time.Second

// noteLate counts the end of an image of the flood that was accepted when the pace was known.
func (c *clients) noteLate(known, unavailable bool) {
	if !known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late[0]++
	if unavailable {
		c.late[1]++
	}
}

// broken sends requests with errors of all kinds.
func (c *clients) broken(ctx context.Context) {
	client := c.from(brokenAddr)
	requests := []struct {
		method, path string
		header       http.Header
		body         []byte
	}{
		{"POST", "/predict", jpegHeader, c.picture[:len(c.picture)/2]},
		{"POST", "/predict", jpegHeader, []byte("not an image")},
		{"POST", "/predict", jpegHeader, nil},
		{"POST", "/predict_async", http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, []byte("--x\r\nContent-Disposition: form-data")},
		{"POST", "/predict_batch", http.Header{"Content-Type": {"application/json"}}, []byte(`{"images":[`)},
		{"POST", "/predict", http.Header{"Content-Type": {"application/json"}}, []byte("[[[[[[[[")},
		{"GET", "/result/" + strings.Repeat("a", 4200), nil, nil},
		{"GET", "/result/3b99f620-3255-4440-9a34-f0a161275a67", nil, nil},
		{"DELETE", "/result/%00", nil, nil},
		{"GET", "/" + strings.Repeat("long/", 4000), nil, nil},
		{"PUT", "/predict", nil, c.picture},
		{"GET", "/results?limit=-1&status=" + strings.Repeat("x", 1000), nil, nil},
		{"POST", "/predict", http.Header{"Idempotency-Key": {strings.Repeat("k", 10_000)}}, c.picture},
	}
	i := 0
	for ctx.Err() == nil {
		r := requests[i%len(requests)]
		i++
		a, err := do(ctx, client, r.method, c.url+r.path, r.header, bytes.NewReader(r.body))
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.note("broken", err.Error())
		default:
			c.note("broken", a.outcome())
			if a.HTTPStatus < 400 || a.HTTPStatus >= 500 && a.HTTPStatus != http.StatusServiceUnavailable {
				c.note("broken", fmt.Sprintf("WRONG %s %.40s: %s", r.method, r.path, a.outcome()))
			}
		}
		pause.For(ctx, 100*time.Millisecond)
	}
}

// hostile sends the worst pictures in a loop.
func (c *clients) hostile(ctx context.Context, client *http.Client) {
	names := slices.Sorted(maps.Keys(c.worst))
	for i := int(c.number.Add(1)); ctx.Err() == nil; i++ {
		body := fmt.Appendf(bytes.Clone(c.worst[names[i%len(names)]]), "%012d", c.number.Add(1))
		a, err := do(ctx, client, http.MethodPost, c.url+"/predict", jpegHeader, bytes.NewReader(body))
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.note("hostile", err.Error())
		default:
			c.note("hostile", a.outcome())
			if a.HTTPStatus == http.StatusTooManyRequests || a.HTTPStatus == http.StatusServiceUnavailable {
				pause.For(ctx, 100*time.Millisecond)
			}
		}
	}
}

// paced calls f at a constant rate, each time in its own goroutine, and waits for all.
func (c *clients) paced(ctx context.Context, perSecond int, f func(due time.Time)) {
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for {
		select {
		case due := <-tick.C:
			all.Go(func() { f(due) })
		case <-ctx.Done():
			return
		}
	}
}

// judgeGood fails the test if good images were refused, unless the machine was too busy for them: then they have got most
// of an equal share of what it could process for the three clients that send much. The caller holds mu.
func (c *clients) judgeGood(t *testing.T) {
	t.Helper()
	served := c.outcomes["good"]["200"]
	total := served + c.outcomes["flood"]["then 200 completed"] + c.outcomes["hostile"]["200"] + c.outcomes["hostile"]["413 too_large"]
	least := total / 3 * 4 / 5
	for outcome, n := range c.outcomes["good"] {
		refused := strings.HasPrefix(outcome, "429 ") || strings.HasPrefix(outcome, "503 ")
		switch {
		case outcome == "200":
		case refused && served >= least:
			t.Logf("good clients: %d times %s, but %d of their images were served, on a machine that served %d in all", n, outcome, served, total)
		default:
			t.Errorf("good clients: %d times %s, and %d of their images were served, on a machine that served %d in all", n, outcome, served, total)
		}
	}
}

// judge reports what clients saw, and fails the test if good ones were not served or an accepted image was lost.
func (c *clients) judge(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(c.outcomes)) {
		t.Logf("%s: %v", kind, c.outcomes[kind])
	}
	slices.Sort(c.took)
	if n := len(c.took); n > 0 {
		t.Logf("good: %d images, p50 %s, p99 %s", n, c.took[n/2].Round(time.Millisecond), c.took[(n-1)*99/100].Round(time.Millisecond))
	}
	c.judgeGood(t)
	for outcome := range c.outcomes["broken"] {
		if strings.HasPrefix(outcome, "WRONG") {
			t.Error(outcome)
		}
	}
	t.Logf("flood: after the first %s, %d accepted images have ended, %d of them unavailable", learning, c.late[0], c.late[1])
	if accepted, unavailable := c.late[0], c.late[1]; unavailable > 2+accepted/50 {
		t.Errorf("flood: %d of %d accepted images ended as unavailable, want at most one of 50", unavailable, accepted)
	}
	if len(c.lost) > 0 {
		t.Errorf("%d accepted requests have not ended, the first is %s", len(c.lost), c.lost[0])
	}
}
