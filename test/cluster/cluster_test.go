//go:build cluster

package cluster

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

func TestMain(m *testing.M) {
	code := harness.Main(m)
	printTable(os.Stdout)
	os.Exit(code)
}

// scenario is one kind of fault, and what a dispatcher may do meanwhile.
type scenario struct {
	name    string
	proxied bool
	// round causes the fault once and ends it. Rounds repeat until CLUSTER_REQUESTS were sent.
	round func(ctx context.Context, s *system)
	// once runs while the load runs; it is not a fault.
	once func(ctx context.Context, s *system)
	// allow is indexed by dispatcher.
	allow [dispatchers]allowance
}

// allowance is what a dispatcher may do from a fault's start until 10 s after its end. Everything else is forbidden.
type allowance struct {
	refuse bool // respond to submissions with 503
	// refuseAfter is the time from the fault's start until it may refuse; it applies with refuse.
	refuseAfter time.Duration
	unready     bool // report that it is not ready
	away        bool // not respond, because its process is restarting
	// notice is the time within which it must report not ready, and keep reporting it until the fault ends. 0 means
	// that it need not.
	notice time.Duration
}

func both(a allowance) [dispatchers]allowance { return [dispatchers]allowance{a, a} }

var scenarios = []scenario{
	{name: "no fault"},
	{name: "follower killed", round: killFollower},
	{name: "leader of jobs killed", round: killLeader("jobs")},
	{name: "leader of results killed", round: killLeader("results")},
	// Longer than the 10 s during which readiness must not change; afterwards it must be correct. On a busy machine
	// the others may need as long to elect a leader; then submissions are refused as well, but not before.
	{name: "leader stopped for 16 s", round: stopLeader, allow: both(allowance{refuse: true, refuseAfter: 10 * time.Second, unready: true})},
	// Three seconds, and as many for a busy machine; without asking the servers themselves it takes 10 s.
	{name: "two of three stopped for 20 s", round: stopMajority,
		allow: both(allowance{refuse: true, unready: true, notice: 6 * time.Second})},
	// Before 10 s have passed, dispatcher 1 cannot distinguish this from a leader election.
	{name: "one server cut off for 20 s", proxied: true, round: cutServer,
		allow: [dispatchers]allowance{{unready: true}, {refuse: true, unready: true, notice: 12 * time.Second}}},
	{name: "NATS restarted, one by one", round: rollServers},
	{name: "dispatchers restarted, one by one", round: rollDispatchers,
		allow: both(allowance{refuse: true, unready: true, away: true})},
	{name: "a third dispatcher with other settings", once: addStranger},
	{name: "a second installation by prefix", once: addInstallation},
}

// TestFaults runs each scenario on a separate cluster.
func TestFaults(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			s := newSystem(t, sc.name, sc.proxied)
			s.nats.start(ctx, t)
			s.start(ctx)
			s.run(ctx, sc)
		})
	}
}

// run sends the load through the scenario and judges what clients saw.
func (s *system) run(ctx context.Context, sc scenario) {
	s.t.Helper()
	s.warm(ctx)
	unwatch := s.watch(ctx)
	s.load.Start(ctx)
	for round := 0; sc.round != nil && (round == 0 || s.load.Sent() < requests(s.t)) && ctx.Err() == nil; round++ {
		pause.For(ctx, 2*time.Second)
		sc.round(ctx, s)
	}
	if sc.once != nil {
		sc.once(ctx, s)
	}
	s.finish(ctx, sc, unwatch)
}

// finish sends the remaining requests, and judges.
func (s *system) finish(ctx context.Context, sc scenario, unwatch func()) {
	s.t.Helper()
	s.load.AwaitSent(ctx, requests(s.t))
	s.load.Stop()
	unwatch()
	s.load.Audit(ctx, 0)
	s.judge(ctx, sc)
}

// warm sends a few images, so that dispatchers open what they open once, and records their resources.
func (s *system) warm(ctx context.Context) {
	s.t.Helper()
	l := harness.Load{URLs: s.urls, Seed: s.seed, Name: "warm-up", PerSecond: 50, Retry: true}
	l.Start(ctx)
	l.AwaitSent(ctx, 50)
	l.Stop()
	for i, base := range s.urls {
		if err := harness.Await(ctx, 10*time.Second, func(ctx context.Context) error { return harness.Settled(ctx, base) }); err != nil {
			s.t.Error(err)
		}
		var err error
		if s.before[i], err = harness.ReadGauges(ctx, base); err != nil {
			s.t.Error(err)
		}
	}
}
