//go:build cluster

package cluster

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// TestNATSComesLate starts the dispatchers 10 s before NATS. Meanwhile they must respond, and report why they cannot
// serve.
func TestNATSComesLate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	sc := scenario{name: "NATS comes 10 s after dispatchers", allow: both(allowance{refuse: true, unready: true, notice: 3 * time.Second})}
	s := newSystem(t, sc.name, false)
	for i, p := range s.dispatchers {
		if err := p.Up(); err != nil {
			t.Fatal(err)
		}
		if err := harness.AwaitOK(ctx, 3*time.Second, s.urls[i]+"/health/live"); err != nil {
			t.Error(err)
		}
	}
	unwatch := s.watch(ctx)
	end := s.begin("NATS absent")
	s.load.Start(ctx)
	pause.For(ctx, 10*time.Second)
	s.nats.start(ctx, t)
	end()
	s.awaitRecovery(ctx)
	s.awaitServing(ctx, 30*time.Second)
	s.finish(ctx, sc, unwatch)
}

// addStranger starts dispatchers whose settings would lower those of the existing streams. They must change nothing,
// and one with fewer replicas must exit and name both settings.
func addStranger(ctx context.Context, s *system) {
	before := s.configs(ctx)
	fewer, _ := s.dispatcher("default-flags", s.endpoints, s.nats.urls())
	if s.ends(ctx, fewer, 30*time.Second) {
		for _, want := range []string{"replicas", "1", "3"} {
			if !strings.Contains(fewer.Tail(500), want) {
				s.t.Errorf("the refusal does not say %q: %s", want, fewer.Tail(500))
			}
		}
	} else {
		s.t.Error("a dispatcher with one replica runs on streams with three; it must refuse")
	}
	s.unchanged(ctx, before, fewer.Name())
	smaller, _ := s.dispatcher("smaller-limits", s.endpoints, s.nats.urls(), "--nats-replicas", "3", "--queue-capacity", "20", "--result-ttl", "5m")
	s.ends(ctx, smaller, 8*time.Second)
	s.unchanged(ctx, before, smaller.Name())
}

// ends starts a process and reports whether it exited by itself, with an error. Otherwise it stops it.
func (s *system) ends(ctx context.Context, p *harness.Process, limit time.Duration) bool {
	s.t.Helper()
	if err := p.Up(); err != nil {
		s.t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-p.Done():
		return p.Down(syscall.SIGKILL) != nil // its exit status
	case <-limited.Done():
		_ = p.Down(syscall.SIGTERM) // how well it drains does not matter here
		return false
	}
}

func (s *system) configs(ctx context.Context) map[string]jetstream.StreamConfig {
	s.t.Helper()
	configs, err := s.nats.configs(ctx)
	if err != nil || len(configs) == 0 {
		s.t.Errorf("list streams: %v, %v", configs, err)
	}
	return configs
}

func (s *system) unchanged(ctx context.Context, before map[string]jetstream.StreamConfig, by string) {
	s.t.Helper()
	after := s.configs(ctx)
	for name, want := range before {
		got := after[name]
		if !reflect.DeepEqual(got, want) {
			s.t.Errorf("%s changed stream %s: replicas %d to %d, messages %d to %d, bytes %d to %d, age %s to %s", by, name, want.Replicas, got.Replicas,
				want.MaxMsgs, got.MaxMsgs, want.MaxBytes, got.MaxBytes, want.MaxAge, got.MaxAge)
		}
	}
	if len(after) != len(before) {
		s.t.Errorf("%s: %d streams, before %d", by, len(after), len(before))
	}
}

// addInstallation runs a second installation under another prefix on the same servers, with its own replica. Its
// clients send the same images under the same keys at the same time, and neither installation may see the other's.
func addInstallation(ctx context.Context, s *system) {
	addr := harness.FreeAddr(s.t)
	harness.StartReplica(s.t, "second-replica", addr)
	own := "http://" + addr
	p, base := s.dispatcher("second", []string{own}, s.nats.urls(), "--nats-replicas", "3", "--nats-prefix", "second")
	if err := p.Up(); err != nil {
		s.t.Fatal(err)
	}
	err := harness.Await(ctx, 30*time.Second, func(ctx context.Context) error { return harness.OK(ctx, base+"/health/ready") })
	if err != nil {
		s.t.Errorf("second installation: %v; its log ends with: %s", err, p.Tail(500))
		return
	}
	second := &harness.Load{URLs: []string{base}, Seed: s.load.Seed, Name: s.load.Name, PerSecond: s.load.PerSecond}
	second.Start(ctx)
	second.AwaitSent(ctx, 100)
	second.Stop()
	second.Audit(ctx, 0)
	s.judgeSecond(ctx, second, own)
	streams := 0
	for name := range s.configs(ctx) {
		if strings.Contains(strings.ToLower(name), "second") {
			streams++
		}
	}
	if streams < 2 {
		s.t.Errorf("%d streams have the prefix in their names, want one of jobs and one of results", streams)
	}
	if err := p.Down(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	if strings.Contains(p.Log(), password) {
		s.t.Error("the password is in the log of the second installation")
	}
}

func (s *system) judgeSecond(ctx context.Context, second *harness.Load, own string) {
	s.t.Helper()
	var f harness.Findings
	books := harness.Judge(second.Requests(), &f)
	f.Report(s.t)
	if got := books.Outcomes["completed"]; got != len(second.Requests()) {
		s.t.Errorf("second installation: %d requests, %v", len(second.Requests()), books.Outcomes)
	}
	client := harness.NewClient(4)
	defer client.Close()
	mine := s.load.Requests()
	for _, r := range second.Requests() {
		if slices.ContainsFunc(r.Again, func(a harness.Answer) bool { return a.ReplicaUsed != own }) {
			s.t.Errorf("request %s of the second installation was answered by another's replica", r.ID)
		}
		// A key gives the same ID in both installations.
		if slices.ContainsFunc(mine, func(m *harness.Request) bool { return m.Index == r.Index && m.ID == r.ID }) {
			continue
		}
		if a := client.Result(ctx, s.urls[0], r.ID, 0); a.HTTPStatus != http.StatusNotFound {
			s.t.Errorf("request %s of the second installation at the first: %d, want 404", r.ID, a.HTTPStatus)
		}
	}
}

// TestPasswords checks that no log has the password of a NATS URL if connecting fails.
func TestPasswords(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s := newSystem(t, "passwords", false)
	s.nats.start(ctx, t)
	live := s.nats.servers[0].addr
	for name, urls := range map[string]string{
		"nobody-listens":   url(harness.FreeAddr(t)),
		"wrong-password":   "nats://" + user + ":" + password + "x@" + live,
		"unreadable-url":   "nats://" + user + ":" + password + "%zz@" + live,
		"one-url-of-two":   url(live) + ",nats://" + user + ":" + password + "%zz@" + live,
		"no-such-host":     "nats://" + user + ":" + password + "@no-such-host.invalid:4222",
		"port-that-is-not": "nats://" + user + ":" + password + "@127.0.0.1:port",
	} {
		p, _ := s.dispatcher(name, s.endpoints, urls, "--nats-replicas", "3")
		s.ends(ctx, p, 4*time.Second)
		var f harness.Findings
		judgeLog(p, &f)
		f.Report(t)
		if !strings.Contains(p.Log(), "NATS") {
			t.Errorf("%s: the log does not speak of NATS: %s", name, p.Tail(500))
		}
	}
}
