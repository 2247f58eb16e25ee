//go:build chaos

package chaos

import (
	"context"
	"os"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// everywhere are the faults of processes and of the network between dispatchers and replicas.
var everywhere = []fault{
	{name: "replica killed", do: func(ctx context.Context, s *system) { s.bounce(ctx, s.replica(), syscall.SIGKILL) }, harmless: true},
	{name: "replica told to stop", do: func(ctx context.Context, s *system) { s.bounce(ctx, s.replica(), syscall.SIGTERM) }, harmless: true},
	{name: "replica hung", do: func(ctx context.Context, s *system) { s.hang(ctx, s.replica(), 2*time.Second) }, harmless: true},
	{name: "dispatcher killed", do: func(ctx context.Context, s *system) { s.bounce(ctx, s.dispatcher(), syscall.SIGKILL) }},
	{name: "dispatcher told to stop", do: func(ctx context.Context, s *system) { s.bounce(ctx, s.dispatcher(), syscall.SIGTERM) }},
	// Longer than --redeliver-after: another dispatcher takes over meanwhile.
	{name: "dispatcher hung", do: func(ctx context.Context, s *system) { s.hang(ctx, s.dispatcher(), 4*time.Second) }},
	{name: "connections cut", do: func(ctx context.Context, s *system) {
		p := s.proxies[s.rng.IntN(replicas)]
		p.Cut(100)
		pause.For(ctx, time.Second)
		p.Cut(0)
	}, harmless: true},
	{name: "connections slowed", do: func(ctx context.Context, s *system) {
		p := s.proxies[s.rng.IntN(replicas)]
		p.Slow(200 * time.Millisecond)
		pause.For(ctx, time.Second)
		p.Slow(0)
	}, harmless: true},
}

// outside and inside are additional faults, by the location of the NATS server.
var (
	outside = []fault{
		{name: "NATS killed", do: func(ctx context.Context, s *system) { s.bounce(ctx, s.nats, syscall.SIGKILL) }},
	}
	inside = []fault{
		{name: "disk full", do: fillDisk},
		// Open files survive for a while.
		{name: "data folder removed", do: removeData, settle: 2 * backLimit},
		{name: "data damaged: .blk", do: damageData(".blk")},
		{name: "data damaged: meta.inf", do: damageData("meta.inf")},
		{name: "data damaged: .db", do: damageData(".db")},
		{name: "descriptors used up", do: idleConnections},
		{name: "slow uploads", do: slowUploads, harmless: true},
		{name: "silent uploads", do: silentUploads, harmless: true},
		{name: "unread lists", do: unreadLists, harmless: true},
	}
)

// possible returns the faults for this system whose names match the regular expression CHAOS_FAULTS.
func (s *system) possible() []fault {
	faults := slices.Concat(everywhere, inside)
	if s.nats != nil {
		faults = slices.Concat(everywhere, outside)
	}
	wanted, err := regexp.Compile(os.Getenv("CHAOS_FAULTS"))
	if err != nil {
		s.t.Fatal(err)
	}
	faults = slices.DeleteFunc(faults, func(f fault) bool {
		return !wanted.MatchString(f.name) || f.name == "disk full" && s.disk == ""
	})
	if len(faults) == 0 {
		s.t.Skipf("no fault of this system matches CHAOS_FAULTS=%s", wanted)
	}
	return faults
}

func (s *system) replica() *harness.Process { return s.replicas[s.rng.IntN(replicas)] }

func (s *system) dispatcher() *harness.Process {
	return s.dispatchers[s.rng.IntN(len(s.dispatchers))]
}

// bounce stops a process and starts it again after up to a second.
func (s *system) bounce(ctx context.Context, p *harness.Process, sig syscall.Signal) {
	if err := p.Down(sig); err != nil && sig == syscall.SIGTERM {
		s.t.Errorf("%s told to stop: %v", p.Name(), err)
	}
	pause.For(ctx, time.Duration(100+s.rng.IntN(900))*time.Millisecond)
	s.up(p)
}

// hang suspends a process.
func (s *system) hang(ctx context.Context, p *harness.Process, length time.Duration) {
	p.Signal(syscall.SIGSTOP)
	pause.For(ctx, length)
	p.Signal(syscall.SIGCONT)
}
