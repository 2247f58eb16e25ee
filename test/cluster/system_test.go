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

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

const (
	dispatchers = 2
	replicas    = 3
)

// system is the whole running system.
type system struct {
	t       *testing.T
	nats    *natsCluster
	program string
	seed    uint64
	rng     *rand.Rand // for faults; determined by CLUSTER_SEED

	dispatchers []*harness.Process
	urls        []string // of the dispatchers
	replicas    []*harness.Process
	endpoints   []string                // of the replicas
	clients     [servers]*harness.Proxy // between dispatcher 0 and the servers; nil without proxies
	cutOff      int                     // the server that is cut off, and the only one that dispatcher 1 knows; if proxied

	load   *harness.Load
	before [dispatchers]harness.Gauges // resources of dispatchers without load; zero if unknown
	ready  [dispatchers]*harness.Readiness
	faults []harness.Fault

	restarts int // of processes that exited by themselves
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

// dispatcher creates a dispatcher on a NATS, without starting it.
func (s *system) dispatcher(name string, endpoints []string, urls string, more ...string) (*harness.Process, string) {
	addr := harness.FreeAddr(s.t)
	args := slices.Concat([]string{"dispatcher", "--addr", addr, "--endpoints", strings.Join(endpoints, ","),
		"--nats", urls, "--drain-timeout", "5s"}, more)
	return harness.NewProcess(s.t, name, func() *exec.Cmd { return exec.Command(s.program, args...) }), "http://" + addr
}

// requests is the minimum number of requests of a scenario, and perSecond the rate: all within 20 s, but at most 30
// per second, because scenarios run in parallel.
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

// maxRestarts limits restarts of processes that exit by themselves; a test that needs more has found enough.
const maxRestarts = 5

// restart restarts a process that has exited by itself, as a supervisor would, and fails the test.
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

// watch samples the dispatchers' readiness until the returned function is called.
func (s *system) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var sampling sync.WaitGroup
	for i, base := range s.urls {
		sampling.Add(1)
		s.ready[i] = harness.Watch(ctx, base+"/health/ready", sampling.Done)
	}
	return func() { cancel(); sampling.Wait() }
}

// begin records the start of a fault, and the returned function its end. Faults do not overlap.
func (s *system) begin(name string) (end func()) {
	s.faults = append(s.faults, harness.Fault{Name: name, Start: time.Now()})
	return func() { s.faults[len(s.faults)-1].End = time.Now() }
}

// awaitRecovery waits until everything serves again, so that the next fault meets a healthy system. How long this took is
// judged from the clients' view.
func (s *system) awaitRecovery(ctx context.Context) {
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
	if err != nil { // continue, so that the next fault is tested too
		s.t.Errorf("%s: %v; dispatchers are restarted by hand", last.Name, err)
		for _, p := range s.dispatchers {
			_ = p.Down(syscall.SIGKILL) // its exit status reports the kill
			if err := p.Up(); err != nil {
				s.t.Error(err)
			}
		}
		s.awaitServing(ctx, time.Minute)
	}
	if err := s.nats.awaitHealthy(ctx); err != nil {
		s.t.Error(err)
	}
	pause.For(ctx, 2*time.Second) // for late rejections
}
