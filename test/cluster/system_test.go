//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

const (
	dispatchers = 2
	replicas    = 3
)

// system is the whole of what runs.
type system struct {
	t       *testing.T
	nats    *natsCluster
	program string
	seed    uint64
	rng     *rand.Rand // for faults; what they are follows from CLUSTER_SEED

	dispatchers []*harness.Process
	urls        []string // of the dispatchers
	replicas    []*harness.Process
	endpoints   []string                // of the replicas
	clients     [servers]*harness.Proxy // between dispatcher 0 and the servers; nil without proxies
	cutOff      int                     // the server that is cut off, and the only one that dispatcher 1 knows; where proxied

	load   *harness.Load
	before [dispatchers]harness.Gauges // what dispatchers hold without load; zero: not known
	ready  [dispatchers]*harness.Readiness
	faults []harness.Fault

	restarts int // of processes that ended by themselves
}

// newSystem starts everything but the NATS servers and the dispatchers.
func newSystem(t *testing.T, name string, proxied bool) *system {
	t.Helper()
	seed := uint64(harness.Setting(t, "CLUSTER_SEED", 1))
	s := &system{t: t, program: harness.Program(t), seed: seed, rng: rand.New(rand.NewPCG(seed, 0))}
	s.nats = newNATS(t, proxied, seed)
	for i := range replicas {
		addr := harness.FreeAddr(t)
		s.replicas = append(s.replicas, harness.StartReplica(t, fmt.Sprint("replica", i), addr))
		s.endpoints = append(s.endpoints, "http://"+addr)
	}
	known := [dispatchers]string{s.nats.urls(), s.nats.urls()}
	if proxied {
		s.cutOff = s.rng.IntN(servers)
		var all []string
		for i, n := range s.nats.servers {
			s.clients[i] = harness.NewProxy(t, n.addr, seed)
			all = append(all, url(s.clients[i].Addr()))
		}
		known = [dispatchers]string{strings.Join(all, ","), url(s.nats.servers[s.cutOff].addr)}
	}
	for i := range dispatchers {
		p, base := s.dispatcher(fmt.Sprint("dispatcher", i), s.endpoints, known[i], "--nats-replicas", "3")
		s.dispatchers, s.urls = append(s.dispatchers, p), append(s.urls, base)
	}
	s.load = &harness.Load{URLs: s.urls, Seed: seed, Name: name, PerSecond: perSecond(t)}
	return s
}

// dispatcher makes a dispatcher on a NATS, without starting it.
func (s *system) dispatcher(name string, endpoints []string, urls string, more ...string) (*harness.Process, string) {
	addr := harness.FreeAddr(s.t)
	args := slices.Concat([]string{"dispatcher", "--addr", addr, "--endpoints", strings.Join(endpoints, ","),
		"--nats", urls, "--drain-timeout", "5s"}, more)
	return harness.NewProcess(s.t, name, func() *exec.Cmd { return exec.Command(s.program, args...) }), "http://" + addr
}

// requests is how many a scenario sends at least, and perSecond how many in a second: all in 20 s, but no more than 30,
// as scenarios run side by side.
func requests(t *testing.T) int { return harness.Setting(t, "CLUSTER_REQUESTS", 400) }

func perSecond(t *testing.T) int { return min(max(requests(t)/20, 10), 30) }

// start starts the dispatchers and waits until they serve.
func (s *system) start(ctx context.Context) {
	s.t.Helper()
	for _, p := range s.dispatchers {
		if err := p.Up(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.awaitServing(ctx, time.Minute)
}

// awaitServing waits until the dispatchers are ready.
func (s *system) awaitServing(ctx context.Context, limit time.Duration) {
	s.t.Helper()
	for i, base := range s.urls {
		err := harness.Await(ctx, limit, func(ctx context.Context) error {
			s.restart(s.dispatchers[i])
			return harness.OK(ctx, base+"/health/ready")
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// maxRestarts is how often processes that end by themselves are started again; a test that needs more has found enough.
const maxRestarts = 5

// restart starts a process that has ended by itself again, as a supervisor would, and fails the test for it.
func (s *system) restart(p *harness.Process) {
	s.t.Helper()
	err := p.Crashed()
	if err == nil || s.restarts == maxRestarts {
		return
	}
	s.restarts++
	s.t.Errorf("%v; its log ends with: %s", err, p.Tail(300))
	if err := p.Up(); err != nil {
		s.t.Error(err)
	}
}

// watch samples the dispatchers' readiness until the function it returns is called.
func (s *system) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var sampling sync.WaitGroup
	for i, base := range s.urls {
		sampling.Add(1)
		s.ready[i] = harness.Watch(ctx, base+"/health/ready", sampling.Done)
	}
	return func() { cancel(); sampling.Wait() }
}

// begin notes the start of a fault, and the function it returns the end. Faults do not overlap.
func (s *system) begin(name string) (end func()) {
	s.faults = append(s.faults, harness.Fault{Name: name, Start: time.Now()})
	return func() { s.faults[len(s.faults)-1].End = time.Now() }
}

// recover waits until all serves again, so that the next fault meets a whole system. How long it took is judged from what
// clients saw.
func (s *system) recover(ctx context.Context) {
	s.t.Helper()
	last := s.faults[len(s.faults)-1]
	err := harness.Await(ctx, 30*time.Second, func(context.Context) error {
		if !s.load.Served(last.End) {
			return fmt.Errorf("not every dispatcher serves")
		}
		return nil
	})
	for _, p := range s.dispatchers {
		s.restart(p)
	}
	if err != nil { // so that the next fault is tested too
		s.t.Errorf("%s: %v; dispatchers are restarted by hand", last.Name, err)
		for _, p := range s.dispatchers {
			_ = p.Down(syscall.SIGKILL) // killed is no success; that is the point
			if err := p.Up(); err != nil {
				s.t.Error(err)
			}
		}
		s.awaitServing(ctx, time.Minute)
	}
	if err := s.nats.awaitHealthy(ctx); err != nil {
		s.t.Error(err)
	}
	harness.Pause(ctx, 2*time.Second) // for refusals that come late
}
