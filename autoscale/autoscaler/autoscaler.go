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

// Autoscaler keeps the number of replicas right. Make it with [New] and Run it once; other methods are safe
// for concurrent use.
type Autoscaler struct {
	cfg     Config
	collect *collector
	server  *httpx.Server
	metrics *metrics
	unsaved error // why the state could not be written down last; of the loop alone

	mu               sync.Mutex
	policy           autoscale.Policy   // guarded by mu
	leading          bool               // guarded by mu: may set
	history          []Record           // guarded by mu: the latest last
	previous, latest autoscale.Snapshot // guarded by mu: of the last two decisions
	problem          string             // guarded by mu: what went wrong last, empty when all is well
}

// Record is a decision with what it was made of and what became of it.
type Record struct {
	autoscale.Decision
	Ready    int     `json:"ready"`
	Starting int     `json:"starting"`
	Queue    int     `json:"queue"`
	InFlight int     `json:"in_flight"`
	Age      float64 `json:"age_seconds"`     // of the figures; -1 when there are none
	Applied  bool    `json:"applied"`         // the scaler was told, and took it
	Error    string  `json:"error,omitempty"` // why not
}

// kept is how many decisions are remembered: an hour at one a second.
const kept = 3600

// maxConnections is how many clients ask for its state at a time. `up` has one process do all; the dispatcher there needs
// the file descriptors.
const maxConnections = 64

// When figures do not justify fewer replicas, in intervals.
const (
	staleAge = 3  // they are older than that
	awayFor  = 60 // a dispatcher was missing less than that ago; policies average over up to a minute
)

// New makes an autoscaler. It starts nothing.
func New(cfg Config) (*Autoscaler, error) {
	if err := cfg.withDefaults().validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	a := &Autoscaler{cfg: cfg, collect: newCollector(cfg), policy: cfg.NewPolicy()}
	if _, gated := cfg.Scaler.(autoscale.Gate); !gated {
		a.leading = true
	}
	a.metrics = newMetrics(a)
	if cfg.Addr != "-" {
		a.server = &httpx.Server{Addr: cfg.Addr, Handler: a.routes(), Log: cfg.Log, ShutdownTimeout: time.Second,
			MaxConnections: maxConnections}
	}
	return a, nil
}

// Listen takes the address, if there is to be one. Run does it where it has not been done.
func (a *Autoscaler) Listen() error {
	if a.server == nil {
		return nil
	}
	return a.server.Listen()
}

// URL is where the autoscaler can be asked; empty without an address. Valid after Listen.
func (a *Autoscaler) URL() string {
	if a.server == nil {
		return ""
	}
	return a.server.URL()
}

// Run decides and acts until ctx ends; then it writes the state down and returns nil. It fails when the
// scaler's gate does: somebody else owns the replicas. Call Listen first.
func (a *Autoscaler) Run(ctx context.Context) error {
	if err := a.restore(time.Now()); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if a.server != nil {
		g.Go(func() error { return a.server.Run(ctx) })
	}
	// Who only looks on does not compete, and may do so beside whoever acts.
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

// lead notes whether this autoscaler may set.
func (a *Autoscaler) lead(may bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leading != may {
		a.cfg.Log.Info("leadership changed", "leading", may)
	}
	a.leading = may
}

// saveEvery is how often the state is written down, in decisions.
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

// tick is the nth decision, and from time to time writes the state down.
func (a *Autoscaler) tick(ctx context.Context, n int) {
	a.step(ctx)
	if n%saveEvery == 0 {
		a.unsaved = a.save(time.Now())
	}
}

// step is one decision.
func (a *Autoscaler) step(ctx context.Context) {
	// Longer than an interval: a slow answer is better than none.
	ctx, cancel := context.WithTimeout(ctx, 2*a.cfg.Interval)
	defer cancel()
	asked := a.collect.poll(ctx)
	scale, err := a.cfg.Scaler.Scale(ctx)
	if err != nil {
		a.report(errors.Join(fmt.Errorf("read replicas: %w", err), a.unsaved))
		return
	}
	now := time.Now()
	record := a.decide(now, a.collect.snapshot(scale))
	err = a.act(ctx, &record, scale)
	a.keep(record)
	a.report(errors.Join(asked, err, a.unsaved))
}

// decide asks the policy, and holds its answer to what the figures justify.
func (a *Autoscaler) decide(now time.Time, s autoscale.Snapshot) Record {
	a.mu.Lock()
	d := a.policy.Decide(now, s)
	a.previous, a.latest = a.latest, s
	a.mu.Unlock()
	age := s.Age(now)
	if why, blind := a.blind(now, s); blind && d.Replicas < s.Desired {
		d.Replicas = s.Desired
		d.Reasons = append(d.Reasons, why)
	}
	if s.Desired == 0 && d.Replicas != 0 { // as with a HorizontalPodAutoscaler: none at all means hands off
		d.Replicas = 0
		d.Reasons = append(d.Reasons, autoscale.Reason{Rule: autoscale.RuleFixed})
	}
	r := Record{Decision: d, Ready: s.Ready(), Starting: s.Starting(), Queue: s.Queue, InFlight: s.InFlight, Age: -1}
	if !s.At.IsZero() {
		r.Age = age.Seconds()
	}
	return r
}

// blind reports whether figures do not justify fewer replicas, and why.
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

// act has the scaler carry the decision out, the idlest replicas leaving first.
func (a *Autoscaler) act(ctx context.Context, r *Record, scale autoscale.Scale) error {
	a.mu.Lock()
	leading, replicas := a.leading, a.latest.Replicas
	a.mu.Unlock()
	if r.Replicas == scale.Desired || a.cfg.DryRun || !leading {
		return nil
	}
	if orderer, can := a.cfg.Scaler.(autoscale.RemovalOrderer); can && r.Replicas < scale.Desired {
		if err := orderer.OrderRemoval(ctx, idlestFirst(replicas)); err != nil {
			a.cfg.Log.Warn("idle replicas are not marked: others may be removed", "error", err)
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

// idlestFirst names the replicas that serve, those with the fewest images first, of equals the newest.
func idlestFirst(replicas []autoscale.Replica) []string {
	serving := slices.DeleteFunc(slices.Clone(replicas), func(r autoscale.Replica) bool { return !r.Ready || r.Stopping })
	slices.SortStableFunc(serving, func(a, b autoscale.Replica) int {
		return cmp.Or(cmp.Compare(a.InFlight, b.InFlight), b.Created.Compare(a.Created))
	})
	names := make([]string, len(serving))
	for i, r := range serving {
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

// report logs what goes wrong when it begins, changes and ends.
func (a *Autoscaler) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
		a.metrics.failures.Inc()
	}
	a.mu.Lock()
	before := a.problem
	a.problem = text
	a.mu.Unlock()
	switch {
	case text == before:
	case text == "":
		a.cfg.Log.Info("all is well again")
	default:
		a.cfg.Log.Warn("trouble; replicas are kept while it lasts", "error", err)
	}
}

// Decisions returns at most n of the latest records, the latest first; with onlyChanges only those that
// asked for another number than there was.
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
