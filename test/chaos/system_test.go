//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

const (
	replicas = 3
	// maxFDs is the file descriptor limit of a dispatcher with an embedded NATS server: the usual default.
	maxFDs = 1024
)

// system is the whole running system.
type system struct {
	t           *testing.T
	seed        uint64
	rng         *rand.Rand       // chooses faults; determined by the seed
	nats        *harness.Process // nil if the dispatcher has an embedded server
	dispatchers []*harness.Process
	replicas    []*harness.Process
	addrs       []string // of the replicas
	proxies     []*harness.Proxy
	urls        []string // of the dispatchers
	dataDir     string   // of the embedded NATS server
	disk        string   // the tmpfs of dataDir; empty without root

	load    *harness.Load
	ready   []*harness.Readiness
	faults  []harness.Fault
	damages []damage

	restarts int // of processes that exited by themselves
}

// damage is a fault after which requests that had not ended before may end as lost.
type damage struct {
	name       string
	from, till time.Time // what was accepted before till may be lost after from
	whole      time.Time // when all processes were running again
}

// newSystem starts two dispatchers on a separate NATS server, or one with an embedded server. Additional options may
// be given to dispatchers.
func newSystem(t *testing.T, outside bool, more ...string) *system {
	t.Helper()
	seed := uint64(harness.Setting(t, "CHAOS_SEED", 1))
	s := &system{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0))}
	var endpoints []string
	for i := range replicas {
		addr := harness.FreeAddr(t)
		s.addrs = append(s.addrs, addr)
		s.replicas = append(s.replicas, harness.StartReplica(t, fmt.Sprint("replica", i), addr))
		p := harness.NewProxy(t, addr, s.seed+uint64(i))
		s.proxies = append(s.proxies, p)
		endpoints = append(endpoints, p.URL())
	}
	dispatchers, storage := 2, []string{"--nats"}
	if outside {
		storage = append(storage, s.startNATS())
	} else {
		s.makeDataDir()
		dispatchers, storage = 1, []string{"--data-dir", s.dataDir}
	}
	program := harness.Program(t)
	for i := range dispatchers {
		addr := harness.FreeAddr(t)
		s.urls = append(s.urls, "http://"+addr)
		args := slices.Concat([]string{program, "dispatcher", "--addr", addr, "--endpoints", strings.Join(endpoints, ","),
			"--redeliver-after", "3s", "--attempt-timeout", "3s", "--attempts", "20", "--drain-timeout", "5s"}, storage, more)
		s.dispatchers = append(s.dispatchers, harness.Start(t, fmt.Sprint("dispatcher", i), func() *exec.Cmd {
			if outside {
				return exec.Command(args[0], args[1:]...)
			}
			limited := fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, maxFDs)
			return exec.Command("sh", append([]string{"-c", limited}, args...)...)
		}))
	}
	s.awaitReady(t.Context())
	return s
}

// startNATS starts a NATS server as its operators would, and returns its URL.
func (s *system) startNATS() string {
	s.t.Helper()
	program, addr := harness.NATSServer(s.t), harness.FreeAddr(s.t)
	config := filepath.Join(s.t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\nmax_payload: 11534336\njetstream { store_dir: %q }\n", addr, s.t.TempDir())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.nats = harness.Start(s.t, "nats", func() *exec.Cmd { return exec.Command(program, "-c", config) })
	if err := harness.AwaitListener(s.t.Context(), 30*time.Second, addr); err != nil {
		s.t.Fatal(err)
	}
	return "nats://" + addr
}

// awaitReady waits until the dispatchers serve and have replicas.
func (s *system) awaitReady(ctx context.Context) {
	s.t.Helper()
	for i, u := range s.urls {
		err := harness.Await(ctx, time.Minute, func(ctx context.Context) error {
			if s.restart(s.dispatchers[i]); s.restarts == maxRestarts {
				s.t.Fatal("processes end again and again")
			}
			return harness.OK(ctx, u+"/health/ready")
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
	s.up(p)
}

func (s *system) up(p *harness.Process) {
	s.t.Helper()
	if err := p.Up(); err != nil {
		s.t.Error(err)
	}
}

// watch samples what dispatchers report about their storage until the returned function is called.
func (s *system) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var sampling sync.WaitGroup
	for _, base := range s.urls {
		sampling.Add(1)
		s.ready = append(s.ready, harness.Watch(ctx, base+"/health/ready?exclude=replicas", sampling.Done))
	}
	return func() { cancel(); sampling.Wait() }
}
