package autoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dispatcher answers /status with a body that the test sets.
type dispatcher struct {
	mu   sync.Mutex
	body string // guarded by mu; empty: 503
	*httptest.Server
}

func newDispatcher(t *testing.T) *dispatcher {
	d := &dispatcher{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.body == "" || r.URL.Path != "/status" {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, d.body)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *dispatcher) say(body string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.body = body
}

// sayCounts makes a /status with these totals.
func (d *dispatcher) sayCounts(uptime float64, offered, completed, queue int) {
	d.say(fmt.Sprintf(`{"queue_size":%d,"queue_metrics":{"queue_capacity":200,"queue_utilization":12.5},"processing":3,
		"health_metrics":{"uptime":%v,"error_rate":1.5},"performance_metrics":{"avg_processing_time":0.05,"avg_queue_time":0.2,"throughput":17},
		"endpoints":[{"url":"http://a","in_flight":2,"workers":2},{"url":"http://b","in_flight":1,"workers":2}],
		"scaling":{"offered":%d,"completed":%d,"service_seconds":%v}}`, queue, uptime, offered, completed, float64(completed)*0.05))
}

// scaler records the calls it gets.
type scaler struct {
	mu    sync.Mutex
	scale autoscale.Scale
	order []string
	set   chan int
	err   error
}

func newScaler(desired int) *scaler {
	s := &scaler{set: make(chan int, 100), scale: autoscale.Scale{Desired: desired}}
	for i, name := range []string{"a", "b", "c"}[:min(desired, 3)] {
		created := time.Now().Add(-time.Hour + time.Duration(i)*time.Minute)
		s.scale.Replicas = append(s.scale.Replicas, autoscale.Replica{Name: name, URL: "http://" + name, Created: created, ReadyAt: created, Ready: true})
	}
	return s
}

func (s *scaler) Scale(context.Context) (autoscale.Scale, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scale, s.err
}

func (s *scaler) SetReplicas(_ context.Context, n int, _ autoscale.Decision) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.scale.Desired = n
	s.set <- n
	return nil
}

func (s *scaler) OrderRemoval(_ context.Context, names []string) error {
	s.order = names
	return nil
}

// wants is a policy that always wants a number.
func wants(n int) func() autoscale.Policy {
	return func() autoscale.Policy { return &autoscale.Static{Replicas: n} }
}

func newAutoscaler(t *testing.T, cfg Config) *Autoscaler {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "-"
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.cfg.HTTP.CloseIdleConnections)
	return a
}

func TestScalesUpAndDown(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), newScaler(3)
	d.sayCounts(10, 100, 100, 7)
	up := newAutoscaler(t, Config{Dispatchers: []string{d.URL + "/"}, Scaler: s, NewPolicy: wants(5)})
	if up.step(t.Context()); up.problem != "" {
		t.Errorf("problem %q with a slash behind the URL", up.problem)
	}
	if n := <-s.set; n != 5 {
		t.Errorf("set %d replicas, want 5", n)
	}
	if s.order != nil {
		t.Errorf("told to remove %v first, when growing", s.order)
	}
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: s, NewPolicy: wants(1)})
	a.step(t.Context())
	if n := <-s.set; n != 1 {
		t.Errorf("set %d replicas, want 1", n)
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, s.order); diff != "" {
		t.Errorf("idlest first (-want +got):\n%s", diff)
	}
	r := a.Decisions(1, true)
	if len(r) != 1 || !r[0].Applied || r[0].Was != 5 || r[0].Replicas != 1 || r[0].Ready != 3 || r[0].Queue != 7 || r[0].InFlight != 3 {
		t.Errorf("record %+v, want 5 to 1, applied, with 3 ready and 7 waiting", r)
	}
}

// TestDoesNotActWithoutLeave checks a dry run, a missing lease, and a Deployment that was scaled to zero.
func TestDoesNotActWithoutLeave(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.sayCounts(10, 100, 100, 7)
	for name, prepare := range map[string]func(*Config, *scaler){
		"dry run":         func(c *Config, _ *scaler) { c.DryRun = true },
		"not leading":     func(c *Config, s *scaler) { c.Scaler = gated{s, nil} },
		"scaled to zero":  func(_ *Config, s *scaler) { s.scale = autoscale.Scale{} },
		"already as many": func(c *Config, _ *scaler) { c.NewPolicy = wants(3) },
	} {
		s := newScaler(3)
		cfg := Config{Dispatchers: []string{d.URL}, Scaler: s, NewPolicy: wants(9)}
		prepare(&cfg, s)
		a := newAutoscaler(t, cfg)
		a.step(t.Context())
		if len(s.set) != 0 {
			t.Errorf("%s: replicas were set", name)
		}
		if r := a.Decisions(1, false); len(r) != 1 || r[0].Applied {
			t.Errorf("%s: records %+v, want one that was not applied", name, r)
		}
	}
}

// gated is a scaler whose gate opens once and then fails.
type gated struct {
	*scaler
	err error
}

func (g gated) Run(ctx context.Context, lead func(bool)) error {
	lead(true)
	if g.err != nil {
		return g.err
	}
	<-ctx.Done()
	lead(false)
	return nil
}

func TestRunsTheGate(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), newScaler(3)
	d.sayCounts(10, 100, 100, 7)
	owned := errors.New("owned by another")
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: gated{s, owned}, NewPolicy: wants(4)})
	if err := a.Run(t.Context()); !errors.Is(err, owned) {
		t.Errorf("Run = %v, want the gate's error", err)
	}
	a = newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: gated{s, nil}, NewPolicy: wants(5), Interval: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for n := range s.set {
		if n == 5 {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestNeverShrinksBlindly checks every policy with old figures, with none, and with one of two dispatchers missing.
func TestNeverShrinksBlindly(t *testing.T) {
	t.Parallel()
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(3), NewPolicy: wants(1)})
	now := time.Now()
	for age, want := range map[time.Duration]int{time.Second: 1, 5 * time.Second: 1, 5100 * time.Millisecond: 3, time.Hour: 3} {
		if r := a.decide(now, autoscale.Snapshot{At: now.Add(-age), Desired: 3}); r.Replicas != want {
			t.Errorf("on figures %v old: %d replicas, want %d", age, r.Replicas, want)
		}
	}
	reason := func(what string, s autoscale.Snapshot, want autoscale.Reason) {
		t.Helper()
		if r := a.decide(now, s); r.Because() != want {
			t.Errorf("%s: because of %+v, want %+v", what, r.Because(), want)
		}
	}
	if r := a.decide(now, autoscale.Snapshot{Desired: 3}); r.Replicas != 3 || r.Age != -1 {
		t.Errorf("without figures: %+v, want 3, of no age", r)
	}
	reason("without figures", autoscale.Snapshot{Desired: 3}, autoscale.Reason{Rule: autoscale.RuleStale, Replicas: 3, Value: 1e6, Limit: 5})
	reason("on figures 7 s old", autoscale.Snapshot{At: now.Add(-7 * time.Second), Desired: 3}, autoscale.Reason{Rule: autoscale.RuleStale, Replicas: 3, Value: 7, Limit: 5})
	reason("a dispatcher was missing 12 s ago", autoscale.Snapshot{At: now, Missed: now.Add(-12 * time.Second), Desired: 3}, autoscale.Reason{Rule: autoscale.RuleAway, Replicas: 3, Value: 12, Limit: 60})
	reason("a dispatcher is missing, by another clock", autoscale.Snapshot{At: now, Missed: now.Add(time.Second), Desired: 3}, autoscale.Reason{Rule: autoscale.RuleAway, Replicas: 3, Limit: 60})
	reason("without figures, but nothing would change", autoscale.Snapshot{Desired: 1}, autoscale.Reason{Rule: autoscale.RuleFixed, Replicas: 1})
	reason("none are to be there", autoscale.Snapshot{At: now}, autoscale.Reason{Rule: autoscale.RuleFixed})

	here, away, s := newDispatcher(t), newDispatcher(t), newScaler(3)
	here.sayCounts(10, 100, 100, 0)
	b := newAutoscaler(t, Config{Dispatchers: []string{here.URL, away.URL}, Scaler: s, NewPolicy: wants(1)})
	b.step(t.Context())
	if len(s.set) != 0 || b.problem == "" {
		t.Errorf("with a dispatcher away: set %d times, problem %q", len(s.set), b.problem)
	}
	away.sayCounts(10, 100, 100, 0)
	b.step(t.Context())
	if r := b.Decisions(1, false)[0]; len(s.set) != 0 || b.problem != "" || r.Because().Rule != autoscale.RuleAway {
		t.Errorf("with all there again: set %d times, problem %q, because of %v; want to wait for what policies average over", len(s.set), b.problem, r.Because())
	}
	missed := b.latest.Missed
	for passed, want := range map[time.Duration]int{59 * time.Second: 3, time.Minute: 1} {
		snap := autoscale.Snapshot{At: missed.Add(passed), Missed: missed, Desired: 3}
		if r := b.decide(missed.Add(passed), snap); r.Replicas != want {
			t.Errorf("%s after a dispatcher was missing: %d replicas, want %d", passed, r.Replicas, want)
		}
	}
	if r := b.decide(missed, autoscale.Snapshot{At: missed, Missed: missed, Desired: 0}); r.Replicas != 0 {
		t.Errorf("scaled to zero by hand while a dispatcher is missing: %d replicas", r.Replicas)
	}
	grow := newAutoscaler(t, Config{Dispatchers: []string{here.URL, "http://127.0.0.1:1"}, Scaler: s, NewPolicy: wants(5)})
	grow.step(t.Context())
	if len(s.set) != 1 || <-s.set != 5 {
		t.Error("with a dispatcher away that never answered: does not grow")
	}
}

// TestTroubleIsLoggedOnce checks that a problem that lasts is logged once, even if other things succeed meanwhile.
func TestTroubleIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := newScaler(2)
	s.err = errors.New("cluster away")
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://127.0.0.1:1"}, Scaler: s, NewPolicy: wants(2), Interval: 10 * time.Millisecond,
		StateFile: filepath.Join(t.TempDir(), "state"), Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.loop(ctx) }()
	for range 3 * saveEvery { // failures are counted each time
		before := testutil.ToFloat64(a.metrics.failures.WithLabelValues(failureScaler))
		for testutil.ToFloat64(a.metrics.failures.WithLabelValues(failureScaler)) == before {
			time.Sleep(time.Millisecond)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "cluster away") {
		t.Errorf("logged %d lines, want one that says what is wrong:\n%s", got, log.String())
	}
}

// TestAddsUpDispatchers checks that totals keep growing when one of the dispatchers restarts.
func TestAddsUpDispatchers(t *testing.T) {
	t.Parallel()
	d1, d2 := newDispatcher(t), newDispatcher(t)
	c := newAutoscaler(t, Config{Dispatchers: []string{d1.URL, d2.URL}, Scaler: newScaler(3), NewPolicy: wants(3)}).collect
	poll := func() autoscale.Snapshot {
		t.Helper()
		if err := c.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c.snapshot(newScaler(3).scale)
	}
	d1.sayCounts(100, 1000, 900, 5)
	d2.sayCounts(50, 300, 300, 4)
	s := poll()
	if s.Offered != 1300 || s.Completed != 1200 || s.Service != 60*time.Second || s.Queue != 5 || s.InFlight != 6 || s.QueueCapacity != 200 {
		t.Errorf("snapshot %+v, want 1300 offered, 1200 completed in 60 s, 5 waiting, 6 in flight", s)
	}
	var inFlight, workers []int
	for _, r := range s.Replicas {
		inFlight, workers = append(inFlight, r.InFlight), append(workers, r.Workers)
	}
	if !slices.Equal(inFlight, []int{4, 2, 0}) || !slices.Equal(workers, []int{2, 2, 0}) {
		t.Errorf("replicas have %v in flight and %v workers, want 4 2 0 and 2 2 0", inFlight, workers)
	}
	d1.sayCounts(1, 10, 10, 0) // restarted
	d2.sayCounts(51, 320, 310, 0)
	if s = poll(); s.Offered != 1330 || s.Completed != 1220 {
		t.Errorf("after a restart %d offered, %d completed, want 1330, 1220", s.Offered, s.Completed)
	}
}

// TestReadsThePrototype reads the sample of /status in the prototype's README.
func TestReadsThePrototype(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.say(`{"cache_metrics":{"hits":1378},"failed_requests":110,"health_metrics":{"error_rate":4.42,"uptime":13857.83},
		"performance_metrics":{"avg_processing_time":0.043,"avg_queue_time":3.987,"throughput":0.17},
		"queue_metrics":{"peak_queue_size":200,"queue_capacity":200,"queue_utilization":0},
		"queue_size":0,"successful_requests":2378,"total_requests":2488}`)
	c := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(3)}).collect
	if err := c.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := c.snapshot(autoscale.Scale{})
	if s.Offered != 1110 || s.Completed != 1000 || s.Failed != 110 || s.Service.Round(time.Second) != 102*time.Second {
		t.Errorf("snapshot %+v, want 1110 offered, 1000 completed, 110 failed", s)
	}
	for body, want := range map[string]string{"[": "invalid /status", "": "503"} {
		d.say(body)
		if err := c.poll(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("/status of %q: %v, want an error with %q", body, err, want)
		}
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), newScaler(3)
	cfg := Config{Dispatchers: []string{d.URL}, Scaler: s, StateFile: filepath.Join(t.TempDir(), "state.json"),
		NewPolicy: func() autoscale.Policy { return autoscale.NewDeadline(autoscale.DeadlineConfig{}) }}
	a := newAutoscaler(t, cfg)
	for i := range 5 {
		d.sayCounts(float64(10+i), 100*i, 100*i, 0)
		a.step(t.Context())
	}
	if err := a.save(time.Now()); err != nil {
		t.Fatal(err)
	}
	b := newAutoscaler(t, cfg)
	if err := b.restore(time.Now()); err != nil {
		t.Fatal(err)
	}
	want, _ := a.policy.State()
	got, _ := b.policy.State()
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("state after a restart (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(a.collect.ledger.state.Total, b.collect.ledger.state.Total); diff != "" {
		t.Errorf("totals after a restart (-before +after):\n%s", diff)
	}
	fresh, _ := cfg.NewPolicy().State()
	for name, prepare := range map[string]func(c *Config){
		"broken":         func(c *Config) { write(t, c, "{") },
		"of another":     func(c *Config) { write(t, c, `{"policy":"kpa","state":{}}`) },
		"of the future":  func(c *Config) { write(t, c, `{"policy":"deadline","at":"2999-01-01T00:00:00Z","state":{}}`) },
		"nothing inside": func(c *Config) { write(t, c, `{"policy":"deadline","state":7}`) },
	} {
		other := cfg
		other.StateFile = filepath.Join(t.TempDir(), "state.json")
		prepare(&other)
		c := newAutoscaler(t, other)
		if err := c.restore(time.Now()); err != nil {
			t.Errorf("state %s: %v, want to begin anew", name, err)
		}
		if got, _ := c.policy.State(); string(got) != string(fresh) {
			t.Errorf("state %s is used: %s", name, got)
		}
	}
	cfg.StateFile = t.TempDir()
	if err := newAutoscaler(t, cfg).restore(time.Now()); err == nil {
		t.Error("a state file that is a folder: no error")
	}
}

func write(t *testing.T, c *Config, content string) {
	t.Helper()
	if err := os.WriteFile(c.StateFile, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestExplains has a steady rate that three replicas can serve: more images per second, or a queue, would need more.
func TestExplains(t *testing.T) {
	t.Parallel()
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(3),
		NewPolicy: func() autoscale.Policy { return autoscale.NewDeadline(autoscale.DeadlineConfig{}) }})
	if _, err := a.Explain(); err == nil {
		t.Error("Explain before any decision: no error")
	}
	now, s := time.Now(), newScaler(3)
	snap := autoscale.Snapshot{Desired: 3, Replicas: s.scale.Replicas, QueueCapacity: 200}
	for range 90 { // 40 images/s, 20 each a replica
		now = now.Add(time.Second)
		snap.At, snap.Offered, snap.Completed = now, snap.Offered+40, snap.Completed+40
		snap.Service += 2 * time.Second
		a.decide(now, snap)
	}
	before, _ := a.policy.State()
	e, err := a.Explain()
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := a.policy.State(); string(before) != string(after) {
		t.Error("explaining changed the policy's state")
	}
	if e.Now.Replicas != 3 {
		t.Errorf("now %d replicas, want 3: %v", e.Now.Replicas, e.Now.Reasons)
	}
	found := map[string]Change{}
	for _, c := range e.Changes {
		if c.To > c.From {
			found[c.What] = c
		}
	}
	if c := found["images arriving per second"]; c.Replicas <= 3 || c.To < 45 || c.To > 120 {
		t.Errorf("more images a second: %+v, want more replicas from 45 to 120", c)
	}
	if c := found["images waiting"]; c.Replicas <= 3 || c.To < 5 || c.To > 200 {
		t.Errorf("images waiting: %+v, want more replicas from 5 to 200", c)
	}
	text := e.String()
	for _, want := range []string{"Policy deadline keeps 3 replicas", "images waiting were", "rate_images_per_second"} {
		if !strings.Contains(text, want) {
			t.Errorf("text lacks %q:\n%s", want, text)
		}
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), newScaler(3)
	d.sayCounts(10, 100, 100, 25)
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: s, NewPolicy: wants(5), Addr: "127.0.0.1:0"})
	a.step(t.Context())
	a.step(t.Context())
	server := httptest.NewServer(handlerOf(a))
	defer server.Close()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	_, body := get("/decisions?changes=true")
	var records []Record
	if err := json.Unmarshal([]byte(body), &records); err != nil || len(records) != 1 || records[0].Replicas != 5 || records[0].Because().Rule != autoscale.RuleFixed {
		t.Errorf("/decisions?changes=true: %v, %s", err, body)
	}
	for path, want := range map[string]int{"/decisions": 200, "/decisions?n=x": 400, "/explain": 200, "/health": 200, "/metrics": 200, "/nothing": 404} {
		if status, body := get(path); status != want {
			t.Errorf("%s: %d, want %d: %s", path, status, want, body)
		}
	}
	_, metrics := get("/metrics")
	for _, line := range []string{
		"autoscaler_queue_size 25", "autoscaler_queue_utilization 12.5", "autoscaler_avg_processing_time 0.05",
		"autoscaler_avg_queue_time 0.2", "autoscaler_error_rate 1.5", "autoscaler_throughput 17",
		"resnet18_autoscaler_desired_replicas 5", "resnet18_autoscaler_ready_replicas 3", "resnet18_autoscaler_leading 1",
		`resnet18_autoscaler_changes_total{direction="up"} 1`, `resnet18_autoscaler_decisions_total{rule="fixed"} 2`,
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("/metrics lacks %q", line)
		}
	}
	if problems, err := testutil.GatherAndLint(a.metrics.Registry); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(1), NewPolicy: wants(1)}
	for name, change := range map[string]func(*Config){
		"no dispatcher": func(c *Config) { c.Dispatchers = nil },
		"no scaler":     func(c *Config) { c.Scaler = nil },
		"no policy":     func(c *Config) { c.NewPolicy = nil },
		"no time":       func(c *Config) { c.Interval = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// handlerOf is the public handler of an autoscaler.
func handlerOf(a *Autoscaler) http.Handler {
	public, _ := a.routes()
	return public
}
