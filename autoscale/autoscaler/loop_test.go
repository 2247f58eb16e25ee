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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// TestDefaults are those that Config documents; what is set is kept.
func TestDefaults(t *testing.T) {
	t.Parallel()
	got := Config{}.withDefaults()
	if got.Interval != time.Second || got.Addr != ":8000" || got.LookupInterval != 5*time.Second || got.Log == nil {
		t.Errorf("defaults %+v", got)
	}
	if a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(1), NewPolicy: wants(1)}); !a.cfg.HTTP.Transport.(*http.Transport).DisableKeepAlives {
		t.Error("connections are kept: a Service would lead to the same dispatcher for ever")
	}
	set := Config{Interval: 1, Addr: "-", LookupInterval: 2, Log: slog.Default(), HTTP: http.DefaultClient}
	if got := set.withDefaults(); got.Interval != 1 || got.Addr != "-" || got.LookupInterval != 2 || got.Log != set.Log || got.HTTP != set.HTTP {
		t.Errorf("defaults change %+v to %+v", set, got)
	}
}

// TestConfigAtItsLimits checks that intervals are at least ten milliseconds and dispatchers are URLs.
func TestConfigAtItsLimits(t *testing.T) {
	t.Parallel()
	good := Config{Dispatchers: []string{"http://x", "dns+http://y:8080/"}, Scaler: newScaler(1), NewPolicy: wants(1), Interval: 10 * time.Millisecond, LookupInterval: 10 * time.Millisecond}
	if _, err := New(good); err != nil {
		t.Errorf("New = %v", err)
	}
	for name, change := range map[string]func(*Config){
		"interval":        func(c *Config) { c.Interval-- },
		"lookup interval": func(c *Config) { c.LookupInterval-- },
		"no URL":          func(c *Config) { c.Dispatchers = []string{"http://x", "y:8080"} },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), "autoscaler: ") {
			t.Errorf("%s: New = %v", name, err)
		}
	}
}

// TestServes checks that it serves while it runs, on the listener it was given.
func TestServes(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.sayCounts(10, 100, 100, 0)
	cfg := Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(3), Addr: "127.0.0.1:0"}
	a := newAutoscaler(t, cfg)
	if err := a.Listen(); err != nil {
		t.Fatal(err)
	}
	taken := cfg
	taken.Addr = strings.TrimPrefix(a.URL(), "http://")
	if err := newAutoscaler(t, taken).Listen(); err == nil {
		t.Error("Listen at an address that is taken: no error")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(a.URL() + "/health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/health answers %s", resp.Status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	silent := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(3), Addr: "-"})
	if err := silent.Listen(); err != nil || silent.URL() != "" {
		t.Errorf("without an address: Listen = %v, URL %q", err, silent.URL())
	}
}

// TestGateIsNotRunInADryRun checks that a dry run does not compete for the lease.
func TestGateIsNotRunInADryRun(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), newScaler(3)
	d.sayCounts(10, 100, 100, 0)
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: gated{s, errors.New("competed")}, NewPolicy: wants(5), DryRun: true, Interval: 10 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	for len(a.Decisions(3, false)) < 3 { // it keeps deciding
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if len(s.set) != 0 {
		t.Error("replicas were set")
	}
}

// TestLeadership checks that changes of leadership are logged and exported as a metric.
func TestLeadership(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: gated{newScaler(1), nil}, NewPolicy: wants(1), Log: slog.New(slog.NewTextHandler(&log, nil))})
	leading := func(want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(a.metrics.Registry, strings.NewReader("# HELP resnet18_autoscaler_leading 1 if this autoscaler may set the number of replicas.\n"+
			"# TYPE resnet18_autoscaler_leading gauge\nresnet18_autoscaler_leading "+want+"\n"), "resnet18_autoscaler_leading"); err != nil {
			t.Error(err)
		}
	}
	leading("0")
	for _, may := range []bool{true, true, false, false, false} {
		a.lead(may)
		if a.leading != may {
			t.Errorf("told %v: leads %v", may, a.leading)
		}
	}
	if got := strings.Count(log.String(), "leadership changed"); got != 2 {
		t.Errorf("logged %d changes, want 2:\n%s", got, log.String())
	}
	a.lead(true)
	leading("1")
}

// TestAFailureToSetIsKept checks that a failure is in the record, in the metrics and in the health, until it is over.
func TestAFailureToSetIsKept(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.sayCounts(10, 100, 100, 0)
	var log strings.Builder
	s := &refusing{scaler: newScaler(3)}
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: s, NewPolicy: wants(5), Log: slog.New(slog.NewTextHandler(&log, nil))})
	a.step(t.Context())
	r := a.Decisions(1, false)[0]
	if r.Applied || r.Error != "refused" || a.problem != "set 5 replicas: refused" {
		t.Errorf("record %+v, problem %q, want that it was refused", r, a.problem)
	}
	if got := testutil.ToFloat64(a.metrics.failures.WithLabelValues(failureScaler)); got != 1 {
		t.Errorf("%v failures, want 1", got)
	}
	s.allow = true
	a.step(t.Context())
	if r := a.Decisions(1, false)[0]; !r.Applied || r.Error != "" || a.problem != "" {
		t.Errorf("record %+v, problem %q, want none", r, a.problem)
	}
	if got := testutil.ToFloat64(a.metrics.failures.WithLabelValues(failureScaler)); got != 1 {
		t.Errorf("%v failures, want still 1", got)
	}
	for _, want := range []string{"cannot scale", "recovered", "msg=scaled from=3 to=5"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("log lacks %q, or has it twice:\n%s", want, log.String())
		}
	}
}

// refusing is a scaler that fails to scale until it is allowed to, and marks no replica.
type refusing struct {
	*scaler
	allow bool
}

func (r *refusing) SetReplicas(ctx context.Context, n int, why autoscale.Decision) error {
	if !r.allow {
		return errors.New("refused")
	}
	return r.scaler.SetReplicas(ctx, n, why)
}

func (r *refusing) OrderRemoval(context.Context, []string) error {
	return errors.New("nobody is marked")
}

// TestUnmarkedIsNotUndone checks that it shrinks even if idle replicas could not be marked.
func TestUnmarkedIsNotUndone(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), &refusing{scaler: newScaler(3), allow: true}
	d.sayCounts(10, 100, 100, 0)
	var log strings.Builder
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: s, NewPolicy: wants(2), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if a.step(t.Context()); len(s.set) != 1 || !strings.Contains(log.String(), "nobody is marked") {
		t.Errorf("set %d times, logged:\n%s", len(s.set), log.String())
	}
}

// TestIdlestFirst checks the order: fewest images first, then newest first; replicas that do not serve are left out.
func TestIdlestFirst(t *testing.T) {
	t.Parallel()
	at := func(name string, inFlight, created int, ready, stopping bool) autoscale.Replica {
		return autoscale.Replica{Name: name, InFlight: inFlight, Created: time.Unix(int64(created), 0), Ready: ready, Stopping: stopping}
	}
	replicas := []autoscale.Replica{at("busy", 3, 9, true, false), at("old", 1, 1, true, false), at("new", 1, 5, true, false), at("starting", 0, 1, false, false),
		at("leaving", 0, 1, true, true), at("idle", 0, 1, true, false), at("twin", 1, 5, true, false)}
	before := slices.Clone(replicas)
	if got, want := idlestFirst(replicas), []string{"idle", "new", "twin", "old", "busy"}; !slices.Equal(got, want) {
		t.Errorf("idlestFirst = %v, want %v", got, want)
	}
	if diff := cmp.Diff(before, replicas); diff != "" {
		t.Errorf("the list has changed (-before +after):\n%s", diff)
	}
}

// TestHistoryIsBounded checks that one to two hours of decisions are kept.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(1), NewPolicy: wants(1)})
	most := 0
	for n := range 9000 {
		a.keep(Record{Decision: autoscale.Decision{Replicas: n + 1, Was: n + 1 - n%2}})
		if most = max(most, len(a.history)); len(a.history) < min(n+1, 3600) || most > 7200 {
			t.Fatalf("%d of %d decisions are kept, want an hour's, at most two", len(a.history), n+1)
		}
	}
	if most != 7200 {
		t.Errorf("at most %d decisions were kept, want two hours'", most)
	}
	replicas := func(list []Record) string {
		var n []int
		for _, r := range list {
			n = append(n, r.Replicas)
		}
		return fmt.Sprint(n)
	}
	if got, want := replicas(a.Decisions(3, false)), "[9000 8999 8998]"; got != want {
		t.Errorf("latest decisions %s, want %s", got, want)
	}
	if got, want := replicas(a.Decisions(3, true)), "[9000 8998 8996]"; got != want {
		t.Errorf("latest changes %s, want %s", got, want)
	}
	for _, n := range []int{0, -1} {
		if got := a.Decisions(n, false); got == nil || len(got) != 0 {
			t.Errorf("%d decisions = %v, want an empty list", n, got)
		}
	}
	if got := len(a.Decisions(1e6, false)); got != len(a.history) {
		t.Errorf("all decisions are %d, want %d", got, len(a.history))
	}
}

// TestMeasures checks the metrics of decisions: rules, directions and figures.
func TestMeasures(t *testing.T) {
	t.Parallel()
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(1), NewPolicy: wants(1)})
	decided := func(was, n int, applied bool) {
		a.metrics.decided(Record{Decision: autoscale.Decision{Was: was, Replicas: n, Reasons: []autoscale.Reason{{Rule: autoscale.RuleRate}},
			Figures: []autoscale.Figure{{Name: "start_delay_seconds", Value: 2.5}}}, Applied: applied, Ready: 4, Starting: 2, Age: 1.5, Blind: n == 9})
	}
	decided(3, 5, true)
	decided(5, 4, true)
	decided(4, 2, true)
	decided(2, 9, false)
	a.failed(errors.New("no answer"), nil)
	now := time.Now()
	ready := func(name string, took time.Duration) autoscale.Replica {
		return autoscale.Replica{Name: name, Created: now, ReadyAt: now.Add(took), Ready: true}
	}
	old, slow := ready("old", time.Minute), ready("slow", 3*time.Second)
	a.metrics.started([]autoscale.Replica{old, {Name: "slow", Created: now}})
	a.metrics.started([]autoscale.Replica{old, slow, ready("fast", 100*time.Millisecond)})
	a.metrics.started([]autoscale.Replica{slow})
	want := `resnet18_autoscaler_blind 1
resnet18_autoscaler_changes_total{direction="down"} 2
resnet18_autoscaler_changes_total{direction="up"} 1
resnet18_autoscaler_decisions_total{rule="rate"} 4
resnet18_autoscaler_desired_replicas 9
resnet18_autoscaler_failures_total{operation="dispatcher"} 1
resnet18_autoscaler_failures_total{operation="scaler"} 0
resnet18_autoscaler_figures_age_seconds 1.5
resnet18_autoscaler_ready_replicas 4
resnet18_autoscaler_replica_start_duration_seconds_count 2
resnet18_autoscaler_replica_start_duration_seconds_sum 3.1
resnet18_autoscaler_start_delay_seconds 2.5
resnet18_autoscaler_starting_replicas 2
`
	w := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(want) {
		if !strings.Contains(w.Body.String(), "\n"+line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
}

// TestFiguresAreMetrics checks that each figure of a policy has a metric, with a text about it.
func TestFiguresAreMetrics(t *testing.T) {
	t.Parallel()
	help := autoscale.FigureHelp()
	now := time.Now()
	cpu := 0.5
	for _, k := range autoscale.Kinds() {
		p := autoscale.NewShadow(k.New(autoscale.Settings{Limits: autoscale.Limits{Min: 1, Max: 9}, SLO: time.Second}), time.Second)
		var seen int
		for i := range 120 {
			at := now.Add(time.Duration(i) * time.Second)
			d := p.Decide(at, autoscale.Snapshot{At: at, Counters: autoscale.Counters{Uptime: time.Duration(i) * time.Second, Offered: int64(10 * i),
				Completed: int64(10 * i), Service: time.Duration(i) * time.Second / 10}, Queue: 3, QueueCapacity: 200, InFlight: 2, Desired: 1,
				Replicas: []autoscale.Replica{{Name: "a", Created: now.Add(-time.Hour), ReadyAt: now.Add(-time.Hour), Ready: true, Workers: 2,
					CPU: &cpu, CPUWindow: autoscale.Window{End: at, Length: time.Second}}}})
			for _, f := range d.Figures {
				if seen++; help[f.Name] == "" {
					t.Fatalf("policy %s: nothing says what %q is: add it to figures in autoscale/decision.go", k.Name, f.Name)
				}
			}
		}
		t.Logf("policy %s: %d figures", k.Name, seen)
	}
}

// TestPrototypesGauges has two dispatchers: throughput is their sum, the rest the mean, weighted by the images each has completed
// plus one.
func TestPrototypesGauges(t *testing.T) {
	t.Parallel()
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(1), NewPolicy: wants(1)})
	gauges := func() map[string]float64 {
		t.Helper()
		families, err := a.metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			if name, ok := strings.CutPrefix(f.GetName(), "autoscaler_"); ok {
				values[name] = f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return values
	}
	none := map[string]float64{"queue_size": 0, "queue_utilization": 0, "avg_processing_time": 0, "avg_queue_time": 0, "error_rate": 0, "throughput": 0}
	if diff := cmp.Diff(none, gauges()); diff != "" {
		t.Errorf("without dispatchers (-want +got):\n%s", diff)
	}
	var one, two status
	for body, s := range map[string]*status{
		`{"successful_requests":1,"queue_size":10,"queue_metrics":{"queue_utilization":20},"performance_metrics":{"avg_processing_time":1,"avg_queue_time":2,"throughput":3},"health_metrics":{"error_rate":4}}`:  &one,
		`{"successful_requests":5,"queue_size":30,"queue_metrics":{"queue_utilization":60},"performance_metrics":{"avg_processing_time":5,"avg_queue_time":10,"throughput":7},"health_metrics":{"error_rate":8}}`: &two,
	} {
		if err := json.Unmarshal([]byte(body), s); err != nil {
			t.Fatal(err)
		}
	}
	a.collect.latest = []*status{&one, &two}
	want := map[string]float64{"queue_size": 25, "queue_utilization": 50, "avg_processing_time": 4, "avg_queue_time": 8, "error_rate": 7, "throughput": 10}
	if diff := cmp.Diff(want, gauges()); diff != "" {
		t.Errorf("of two dispatchers (-want +got):\n%s", diff)
	}
}

// TestAnswers checks each route, with valid and invalid parameters.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(1), NewPolicy: wants(1), DryRun: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for n := range 150 {
		a.keep(Record{Decision: autoscale.Decision{Replicas: n, Was: n - n%2}})
	}
	a.problem = "something is wrong"
	server := httptest.NewServer(handlerOf(a))
	t.Cleanup(server.Close)
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
	for query, want := range map[string]int{"": 100, "?n=7": 7, "?n=1000": 150, "?changes=true": 75, "?changes=false": 100, "?n=7&changes=1": 7} {
		code, body := get("/decisions" + query)
		var list []Record
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || len(list) != want || list[0].Replicas != 149 {
			t.Errorf("/decisions%s: %d, %d records, %v; want %d, the latest first", query, code, len(list), err, want)
		}
	}
	for _, query := range []string{"?n=x", "?changes=x", "?n=1.5"} {
		if code, body := get("/decisions" + query); code != 400 || !strings.Contains(body, "Invalid ") {
			t.Errorf("/decisions%s: %d %s", query, code, body)
		}
	}
	if code, body := get("/explain"); code != 503 || !strings.Contains(body, errTooEarly.Error()) {
		t.Errorf("/explain before a decision: %d %s", code, body)
	}
	want := `{"status":"healthy","policy":"static","leading":true,"dry_run":true,"problem":"something is wrong"}`
	if code, body := get("/health"); code != 200 || strings.TrimSpace(body) != want {
		t.Errorf("/health: %d %s, want %s", code, body, want)
	}
}

// TestStateErrors checks that a state that cannot be written is reported each time and does not stop the loop.
func TestStateErrors(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.sayCounts(10, 100, 100, 0)
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		file   string
		policy autoscale.Policy
	}{
		"no folder":            {filepath.Join(folder, "none", "state"), wants(3)()},
		"a folder":             {t.TempDir(), wants(3)()},
		"policy cannot tell":   {filepath.Join(folder, "a"), &function{err: broken}},
		"policy tells no JSON": {filepath.Join(folder, "b"), nonsense{wants(3)()}},
	} {
		a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: func() autoscale.Policy { return test.policy }, StateFile: test.file})
		if err := a.save(time.Now()); err == nil || !strings.HasPrefix(err.Error(), "save policy state: ") {
			t.Errorf("%s: save = %v", name, err)
		}
	}
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(3), StateFile: filepath.Join(folder, "none", "state")})
	a.unsaved = a.save(time.Now())
	if a.step(t.Context()); !strings.Contains(a.problem, "save policy state") || len(a.Decisions(1, false)) != 1 {
		t.Errorf("problem %q, want the state, and a decision all the same", a.problem)
	}
	unread := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(3), StateFile: folder})
	if err := unread.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--state") {
		t.Errorf("Run with a state file that cannot be read: %v", err)
	}
	none := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(3)})
	if err := errors.Join(none.save(time.Now()), none.restore(time.Now())); err != nil {
		t.Errorf("without a state file: %v", err)
	}
}

// nonsense is a policy whose state is not JSON.
type nonsense struct{ autoscale.Policy }

func (nonsense) State() ([]byte, error) { return []byte("{"), nil }

// TestStateIsSavedEveryFiveDecisions checks that it is also saved at the end, replaced as a whole, and readable by its owner only.
func TestStateIsSavedEveryFiveDecisions(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.sayCounts(10, 100, 100, 0)
	file := filepath.Join(t.TempDir(), "state")
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: newScaler(3), NewPolicy: wants(3), StateFile: file})
	for n := 1; n <= 11; n++ {
		a.tick(t.Context(), n)
		info, err := os.Stat(file)
		if saved := err == nil; saved != (n%5 == 0) {
			t.Errorf("after decision %d the state is saved: %v, want after each fifth", n, saved)
		} else if saved {
			if info.Mode().Perm() != 0o600 {
				t.Errorf("the state has mode %s", info.Mode())
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := a.loop(ctx); err != nil {
		t.Errorf("loop = %v", err)
	}
	var saved savedState
	data, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(data, &saved) != nil || saved.Policy != "static" || saved.Collected.Total.Offered != 100 || time.Since(saved.At).Abs() > time.Minute {
		t.Errorf("the state at the end: %s, %v", data, err)
	}
}

// TestStateOfAnotherClock accepts a state from up to a minute in the future, since clocks are adjusted, and rejects others.
func TestStateOfAnotherClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for ahead, used := range map[time.Duration]bool{time.Minute: true, time.Minute + time.Millisecond: false} {
		a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(3), StateFile: filepath.Join(t.TempDir(), "state"),
			NewPolicy: func() autoscale.Policy { return autoscale.NewDeadline(autoscale.DeadlineConfig{}) }})
		text, err := json.Marshal(savedState{"deadline", now.Add(ahead), []byte(`{"speed":{"images":7,"seconds":1}}`), collected{Instances: map[string]*instance{}, Total: autoscale.Counters{Offered: 9}}})
		if err != nil {
			t.Fatal(err)
		}
		write(t, &a.cfg, string(text))
		if err := a.restore(now); err != nil {
			t.Fatal(err)
		}
		state, _ := a.policy.State()
		if got := strings.Contains(string(state), `"images":7`); got != used || (a.collect.ledger.state.Total.Offered == 9) != used {
			t.Errorf("state of %s ahead: used %v, want %v", ahead, got, used)
		}
	}
}

// TestNoDecisionWithoutReplicas checks that without an answer of the scaler there is no decision, and that the error is reported.
func TestNoDecisionWithoutReplicas(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), newScaler(3)
	d.sayCounts(10, 100, 100, 0)
	s.err = errors.New("cluster away")
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: s, NewPolicy: wants(5)})
	if a.step(t.Context()); a.problem != "read replicas: cluster away" || len(a.Decisions(1, false)) != 0 {
		t.Errorf("problem %q, decisions %v", a.problem, a.Decisions(1, false))
	}
}

// TestADispatcherThatHangs checks that waiting for a dispatcher has a limit.
func TestADispatcherThatHangs(t *testing.T) {
	t.Parallel()
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hung.Close)
	a := newAutoscaler(t, Config{Dispatchers: []string{hung.URL}, Scaler: newScaler(3), NewPolicy: wants(3), Interval: 50 * time.Millisecond})
	if a.step(t.Context()); !strings.Contains(a.problem, "deadline exceeded") {
		t.Errorf("problem %q", a.problem)
	}
}

// deadlined is a scaler that records its deadline.
type deadlined struct {
	*scaler
	until time.Time
}

func (d *deadlined) Scale(ctx context.Context) (autoscale.Scale, error) {
	d.until, _ = ctx.Deadline()
	return d.scaler.Scale(ctx)
}

// TestADecisionMayTakeTwoIntervals checks that slow answers are used.
func TestADecisionMayTakeTwoIntervals(t *testing.T) {
	t.Parallel()
	d, s := newDispatcher(t), &deadlined{scaler: newScaler(3)}
	d.sayCounts(10, 100, 100, 0)
	a := newAutoscaler(t, Config{Dispatchers: []string{d.URL}, Scaler: s, NewPolicy: wants(3), Interval: time.Hour})
	start := time.Now()
	a.step(t.Context())
	if may := s.until.Sub(start).Round(time.Hour); may != 2*time.Hour {
		t.Errorf("a decision may take %s at an interval of an hour, want two", may)
	}
}

// TestCountersOfStatus checks that impossible totals are clamped, so that sums do not overflow.
func TestCountersOfStatus(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]autoscale.Counters{
		`{"health_metrics":{"uptime":12.5},"scaling":{"offered":10,"refused":1,"completed":8,"failed":2,"service_seconds":0.5,"queueing_seconds":1.5}}`: {
			Uptime: 12500 * time.Millisecond, Offered: 10, Refused: 1, Completed: 8, Failed: 2, Service: 500 * time.Millisecond, Queueing: 1500 * time.Millisecond},
		`{"scaling":{"offered":9223372036854775807,"refused":-1,"service_seconds":1e300,"queueing_seconds":-1}}`: {Offered: 1 << 50, Service: 1e8 * time.Second},
		// The prototype counts cache hits as requests.
		`{"total_requests":100,"successful_requests":90,"failed_requests":6,"cache_metrics":{"hits":40},"performance_metrics":{"avg_processing_time":0.5,"avg_queue_time":0.25}}`: {
			Offered: 60, Completed: 50, Failed: 6, Service: 45 * time.Second, Queueing: 15 * time.Second},
		`{"total_requests":1,"cache_metrics":{"hits":40}}`: {},
	} {
		var s status
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.counters()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// TestAskNeedsAURL checks that invalid URLs are errors and answers from unlisted URLs are ignored.
func TestAskNeedsAURL(t *testing.T) {
	t.Parallel()
	c := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(1), NewPolicy: wants(1)}).collect
	if _, err := c.ask(t.Context(), "http://\x7f"); err == nil || !strings.Contains(err.Error(), "dispatcher http://") {
		t.Errorf("ask of a broken URL: %v", err)
	}
	c.ledger.take("http://unknown", time.Now(), &status{Instance: "x"})
	if len(c.ledger.state.Instances) != 0 || len(c.ledger.sources) != 0 {
		t.Errorf("an answer from nowhere is remembered: %v", c.ledger.state.Instances)
	}
}
