package autoscaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Autoscaler sets the number of replicas. Make it with [New] and Run it once; other methods are safe
// for concurrent use.
type Autoscaler struct {
	cfg       Config
	collect   *collector
	server    *httpx.Server // nil if there is none
	admin     *httpx.Server // nil if there is none
	metrics   *autoscalerMetrics
	announced time.Time // the last time that a shadow's account was announced; used by the loop alone
	unsaved   error     // why the state was not saved the last time; used by the loop alone

	mu               sync.Mutex
	policy           autoscale.Policy   // guarded by mu
	leading          bool               // guarded by mu: this autoscaler may set the number of replicas
	history          []Record           // guarded by mu: oldest first
	previous, latest autoscale.Snapshot // guarded by mu: those of the last two decisions
	problem          string             // guarded by mu: what is wrong now; empty if nothing is
}

// Record is a decision with its inputs and its outcome.
type Record struct {
	autoscale.Decision
	Ready    int     `json:"ready"`
	Starting int     `json:"starting"`
	Queue    int     `json:"queue"`
	InFlight int     `json:"in_flight"`
	Age      float64 `json:"age_seconds"`     // of the metrics; -1 if there are none
	Applied  bool    `json:"applied"`         // the scaler accepted it
	Error    string  `json:"error,omitempty"` // why not
	Blind    bool    `json:"blind,omitempty"` // the metrics do not justify scaling down
}

// kept is the number of decisions that are remembered: an hour at one per second.
const kept = 3600

// maxConnections bounds the clients of the autoscaler. In `up` it shares a process, and so the file descriptors, with the
// dispatcher.
const maxConnections = 64

// Times in intervals within which metrics do not justify scaling down.
const (
	staleAge = 5  // maximum age of the metrics
	awayFor  = 60 // since a dispatcher was missing: policies average over up to a minute
)

// New makes an autoscaler. It starts nothing.
func New(cfg Config) (*Autoscaler, error) {
	if err := cfg.withDefaults().validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	a := &Autoscaler{cfg: cfg, collect: newCollector(cfg), policy: cfg.NewPolicy()}
	a.cfg.HTTP = &a.collect.http
	if _, gated := cfg.Scaler.(autoscale.Gate); !gated {
		a.leading = true
	}
	a.metrics = newMetrics(a)
	public, admin := a.routes()
	if cfg.Addr != "-" {
		a.server = &httpx.Server{Addr: cfg.Addr, Handler: a.metrics.http.Handler(cfg.Guard.Handler(cfg.Log, public)), TLS: cfg.TLS, Log: cfg.Log,
			ShutdownTimeout: time.Second, MaxConnections: maxConnections}
	}
	if cfg.AdminAddr != "" {
		a.admin = &httpx.Server{Addr: cfg.AdminAddr, Handler: a.metrics.http.Handler(httpx.Guard{Hosts: cfg.Guard.Hosts}.Handler(cfg.Log, admin)), Log: cfg.Log,
			ShutdownTimeout: time.Second, MaxConnections: maxConnections}
	}
	return a, nil
}

// Listen reads the files for TLS, and listens on the addresses, if there are any.
func (a *Autoscaler) Listen() error {
	if err := a.collect.certs.Load(); err != nil {
		return fmt.Errorf("dispatchers: %w", err)
	}
	if a.admin != nil {
		if err := a.admin.Listen(); err != nil {
			return fmt.Errorf("admin address: %w", err)
		}
	}
	if a.server == nil {
		return nil
	}
	return a.server.Listen()
}

// URL is the base URL of the autoscaler; empty without an address. Valid after Listen.
func (a *Autoscaler) URL() string {
	if a.server == nil {
		return ""
	}
	return a.server.URL()
}

// AdminURL is the base URL of the server for operators; empty if there is none. Valid after Listen.
func (a *Autoscaler) AdminURL() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.URL()
}

// Run decides and acts until ctx ends; then it saves the state and returns nil. It fails if the scaler's gate
// fails: something else owns the replicas. Call Listen first.
func (a *Autoscaler) Run(ctx context.Context) error {
	if err := a.restore(time.Now()); err != nil {
		return err
	}
	a.metrics.Ready()
	g, ctx := errgroup.WithContext(ctx)
	if a.server != nil {
		g.Go(func() error { return a.server.Run(ctx) })
	}
	if a.admin != nil {
		g.Go(func() error { return a.admin.Run(ctx) })
	}
	g.Go(func() error { a.collect.certs.Run(ctx); return nil })
	// A dry run does not take part in the election, and may run beside an autoscaler that acts.
	if gate, gated := a.cfg.Scaler.(autoscale.Gate); gated && !a.cfg.DryRun {
		g.Go(func() error { return gate.Run(ctx, a.lead) })
	}
	g.Go(func() error {
		a.collect.lookUp(ctx) // bounded; the first decision has all addresses
		g.Go(func() error { return a.collect.keepLookingUp(ctx) })
		return a.loop(ctx)
	})
	defer a.cfg.HTTP.CloseIdleConnections()
	return g.Wait()
}

// lead records whether this autoscaler may set the number of replicas.
func (a *Autoscaler) lead(may bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leading != may {
		a.cfg.Log.Info("leadership changed", "leading", may)
	}
	a.leading = may
}

// saveEvery is the number of decisions between two saves of the state.
const saveEvery = 5

func (a *Autoscaler) loop(ctx context.Context) error {
	ticker := time.NewTicker(a.cfg.Interval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		a.tick(ctx, n)
		select {
		case <-ctx.Done():
			return a.save(time.Now())
		case <-ticker.C:
		}
	}
}

// tick makes the nth decision, and saves the state from time to time.
func (a *Autoscaler) tick(ctx context.Context, n int) {
	a.step(ctx)
	if n%saveEvery == 0 {
		a.unsaved = a.save(time.Now())
	}
}

// step makes one decision.
func (a *Autoscaler) step(ctx context.Context) {
	// Longer than an interval: a slow response is better than none.
	ctx, cancel := context.WithTimeout(ctx, 2*a.cfg.Interval)
	defer cancel()
	asked := a.collect.poll(ctx)
	scale, err := a.cfg.Scaler.Scale(ctx)
	if err != nil {
		a.failed(asked, err)
		a.report(errors.Join(fmt.Errorf("read replicas: %w", err), a.unsaved))
		return
	}
	a.metrics.started(scale.Replicas)
	now := time.Now()
	record := a.decide(now, a.collect.snapshot(scale))
	err = a.act(ctx, &record, scale)
	a.keep(record)
	a.failed(asked, err)
	if account, is := a.account(); is && now.Sub(account.Since) >= announceEvery && now.Sub(a.announced) >= announceEvery {
		a.announced = now
		a.announce(ctx, account)
	}
	a.report(errors.Join(asked, err, a.unsaved))
}

// failed counts what failed in an interval.
func (a *Autoscaler) failed(asked, scaled error) {
	for operation, err := range map[string]error{failureDispatcher: asked, failureScaler: scaled, failureState: a.unsaved} {
		if err != nil {
			a.metrics.failures.WithLabelValues(operation).Inc()
		}
	}
}

// announceEvery is the time between two announcements of a shadow's account.
const announceEvery = time.Hour

// announce writes the account of a shadow to the log and, if the scaler keeps records, there.
func (a *Autoscaler) announce(ctx context.Context, account autoscale.Account) {
	a.cfg.Log.Info("shadow", "account", account.String())
	if announcer, can := a.cfg.Scaler.(autoscale.Announcer); can {
		if err := announcer.Announce(ctx, account.String()); err != nil {
			a.cfg.Log.Warn("cannot announce the account of the shadow", "error", err)
		}
	}
}

// decide asks the policy, and limits its decision to what the metrics justify.
func (a *Autoscaler) decide(now time.Time, s autoscale.Snapshot) Record {
	a.mu.Lock()
	d := a.policy.Decide(now, s)
	a.previous, a.latest = a.latest, s
	a.mu.Unlock()
	age := s.Age(now)
	why, blind := a.blind(now, s)
	_, shadow := a.account()
	if blind && d.Replicas < s.Desired && !shadow {
		d.Replicas = s.Desired
		d.Reasons = append(d.Reasons, why)
	}
	if s.Desired == 0 && d.Replicas != 0 && !a.cfg.ToZero && !shadow { // as for a HorizontalPodAutoscaler, 0 replicas disable scaling
		d.Replicas = 0
		d.Reasons = append(d.Reasons, autoscale.Reason{Rule: autoscale.RuleFixed})
	}
	r := Record{Decision: d, Ready: s.Ready(), Starting: s.Starting(), Queue: s.Queue, InFlight: s.InFlight, Age: -1, Blind: blind}
	if !s.At.IsZero() {
		r.Age = age.Seconds()
	}
	return r
}

// account is that of a shadow, if the policy is one.
func (a *Autoscaler) account() (autoscale.Account, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shadow, is := a.policy.(interface{ Account() autoscale.Account })
	if !is {
		return autoscale.Account{}, false
	}
	return shadow.Account(), true
}

// blind reports whether the metrics do not justify scaling down, and why.
func (a *Autoscaler) blind(now time.Time, s autoscale.Snapshot) (autoscale.Reason, bool) {
	age, missed := s.Age(now), now.Sub(s.Missed)
	switch stale, away := staleAge*a.cfg.Interval, awayFor*a.cfg.Interval; {
	case age > stale:
		return autoscale.Reason{Rule: autoscale.RuleStale, Replicas: s.Desired, Value: min(1e6, age.Seconds()), Limit: stale.Seconds()}, true
	case missed < away:
		return autoscale.Reason{Rule: autoscale.RuleAway, Replicas: s.Desired, Value: max(0, missed.Seconds()), Limit: away.Seconds()}, true
	}
	return autoscale.Reason{}, false
}

// act applies a decision. The replicas with the fewest images are removed first.
func (a *Autoscaler) act(ctx context.Context, r *Record, scale autoscale.Scale) error {
	a.mu.Lock()
	leading, replicas := a.leading, a.latest.Replicas
	a.mu.Unlock()
	if r.Replicas == scale.Desired || a.cfg.DryRun || !leading {
		return nil
	}
	if orderer, can := a.cfg.Scaler.(autoscale.RemovalOrderer); can && r.Replicas < scale.Desired {
		if err := orderer.OrderRemoval(ctx, idlestFirst(replicas)); err != nil {
			a.cfg.Log.Warn("cannot mark idle replicas; busy ones may be removed", "error", err)
		}
	}
	if err := a.cfg.Scaler.SetReplicas(ctx, r.Replicas, r.Decision); err != nil {
		r.Error = err.Error()
		return fmt.Errorf("set %d replicas: %w", r.Replicas, err)
	}
	r.Applied = true
	a.cfg.Log.Info("scaled", "from", scale.Desired, "to", r.Replicas, "because", r.Because().String())
	return nil
}

// idlestFirst names the ready replicas, those with the fewest images first, of equals the newest.
func idlestFirst(replicas []autoscale.Replica) []string {
	ready := slices.DeleteFunc(slices.Clone(replicas), func(r autoscale.Replica) bool { return !r.Ready || r.Stopping })
	slices.SortStableFunc(ready, func(a, b autoscale.Replica) int {
		return cmp.Or(cmp.Compare(a.InFlight, b.InFlight), b.Created.Compare(a.Created))
	})
	names := make([]string, len(ready))
	for i, r := range ready {
		names[i] = r.Name
	}
	return names
}

func (a *Autoscaler) keep(r Record) {
	a.metrics.decided(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.history = append(a.history, r); len(a.history) > 2*kept {
		a.history = slices.Clone(a.history[kept:])
	}
}

// report logs a problem when it begins, changes and ends.
func (a *Autoscaler) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	a.mu.Lock()
	before := a.problem
	a.problem = text
	a.mu.Unlock()
	switch {
	case text == before:
	case text == "":
		a.cfg.Log.Info("recovered")
	default:
		a.cfg.Log.Warn("cannot scale; keeping the replicas", "error", err)
	}
}

// Decisions returns at most n records, the latest first; with onlyChanges only those that changed the number of
// replicas.
func (a *Autoscaler) Decisions(n int, onlyChanges bool) []Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []Record{}
	for i := len(a.history) - 1; i >= 0 && len(list) < n; i-- {
		if r := a.history[i]; !onlyChanges || r.Replicas != r.Was {
			list = append(list, r)
		}
	}
	return list
}
