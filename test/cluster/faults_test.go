//go:build cluster

package cluster

import (
	"context"
	"syscall"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// down is how long a killed server stays down: less than the 10 s during which readiness must not change.
const down = 6 * time.Second

func (s *system) kill(ctx context.Context, name string, victim int) {
	n := s.nats.servers[victim]
	s.t.Logf("%s: %s", name, n.Name())
	end := s.begin(name)
	_ = n.Down(syscall.SIGKILL) // its exit status reports the kill
	pause.For(ctx, down)
	if err := n.Up(); err != nil {
		s.t.Error(err)
	}
	end()
	s.awaitRecovery(ctx)
}

// leader returns the server that leads a stream; it fails the test if there is none.
func (s *system) leader(ctx context.Context, word string) int {
	s.t.Helper()
	k, err := s.nats.leader(ctx, word)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

func killLeader(word string) func(context.Context, *system) {
	return func(ctx context.Context, s *system) { s.kill(ctx, "leader of "+word+" killed", s.leader(ctx, word)) }
}

func killFollower(ctx context.Context, s *system) {
	leader := s.leader(ctx, "jobs")
	s.kill(ctx, "follower killed", (leader+1+s.rng.IntN(servers-1))%servers)
}

// stop suspends servers for a time, like a machine that hangs.
func (s *system) stop(ctx context.Context, name string, d time.Duration, victims ...int) {
	end := s.begin(name)
	for _, k := range victims {
		s.t.Logf("%s: %s", name, s.nats.servers[k].Name())
		s.nats.servers[k].Signal(syscall.SIGSTOP)
	}
	pause.For(ctx, d)
	for _, k := range victims {
		s.nats.servers[k].Signal(syscall.SIGCONT)
	}
	end()
	s.awaitRecovery(ctx)
}

func stopLeader(ctx context.Context, s *system) {
	s.stop(ctx, "leader stopped", 16*time.Second, s.leader(ctx, "jobs"))
}

func stopMajority(ctx context.Context, s *system) {
	survivor := s.rng.IntN(servers)
	s.stop(ctx, "two of three stopped", 20*time.Second, (survivor+1)%servers, (survivor+2)%servers)
}

func cutServer(ctx context.Context, s *system) {
	s.t.Logf("cut off: %s, the jobs' leader is %s", s.nats.servers[s.cutOff].Name(), s.nats.servers[s.leader(ctx, "jobs")].Name())
	end := s.begin("cut off")
	heal := s.nats.cut(s.cutOff, s.clients[s.cutOff])
	pause.For(ctx, 20*time.Second)
	heal()
	end()
	s.awaitRecovery(ctx)
}

// rollServers restarts the servers one after the other, as in an update: the next one when all are healthy.
func rollServers(ctx context.Context, s *system) {
	for _, n := range s.nats.servers {
		end := s.begin(n.Name() + " restarted")
		_ = n.Down(syscall.SIGTERM) // nats-server's exit status reports the signal
		if err := n.Up(); err != nil {
			s.t.Error(err)
		}
		end()
		s.awaitRecovery(ctx)
	}
}

// rollDispatchers restarts the dispatchers one after the other: the next one when the previous one serves.
func rollDispatchers(ctx context.Context, s *system) {
	for i, p := range s.dispatchers {
		end := s.begin(p.Name() + " restarted")
		if err := p.Down(syscall.SIGTERM); err != nil {
			s.t.Errorf("%s told to stop: %v", p.Name(), err)
		}
		if err := p.Up(); err != nil {
			s.t.Error(err)
		}
		if err := harness.AwaitOK(ctx, 30*time.Second, s.urls[i]+"/health/ready"); err != nil {
			s.t.Error(err)
		}
		end()
		s.awaitRecovery(ctx)
	}
}
