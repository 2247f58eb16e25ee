package dispatch

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestStorageHealth runs sequences of probes and checks readiness and the action after each.
func TestStorageHealth(t *testing.T) {
	t.Parallel()
	embedded := storageKind{embedded: true, replicas: 1, dir: "/data", needed: 16 << 20}
	cluster := storageKind{replicas: 3}
	broken, silent := errors.New("write error"), errors.New("no answer")
	good := probeResult{servers: -1, free: -1}
	const ready = ""
	type step struct {
		at   time.Duration
		saw  probeResult
		says string // substring of the problem; empty if there is none
		do   remedy
	}
	roomy := probeResult{err: broken, servers: -1, free: 1 << 30}
	full := probeResult{err: broken, servers: -1, free: 16<<20 - 1}
	quiet := probeResult{err: silent, silent: true, servers: -1, free: 1 << 30}
	answering := func(n int) probeResult { return probeResult{err: silent, silent: true, servers: n, free: -1} }
	tests := map[string]struct {
		kind  storageKind
		steps []step
	}{
		"a write error is fixed by an immediate restart": {embedded, []step{
			{0, good, ready, remedyNone},
			{1 * time.Second, roomy, "the storage in /data rejects writes: write error", remedyRestart},
			{2 * time.Second, good, ready, remedyNone},
			{3 * time.Second, roomy, "rejects writes", remedyRestart},
		}},
		"failing restarts are repeated every two seconds, for thirty seconds": {embedded, []step{
			{0, roomy, "write error", remedyRestart},
			{2*time.Second - 1, roomy, "write error", remedyNone},
			{2 * time.Second, roomy, "write error", remedyRestart},
			{30*time.Second - 1, roomy, "write error", remedyRestart},
			{30 * time.Second, roomy, "write error", remedyGiveUp},
		}},
		"a full disk is waited for without limit; then the server is restarted": {embedded, []step{
			{0, full, "disk full: /data has 16 MB free, 16 MB required", remedyNone},
			{time.Hour, full, "disk full", remedyNone},
			{time.Hour + time.Second, roomy, "write error", remedyRestart},
			{time.Hour + 2*time.Second, good, ready, remedyNone},
		}},
		"a disk on which only a probe fits is full": {embedded, []step{
			{0, probeResult{servers: -1, free: 1 << 20}, ready, remedyNone},
			{1 * time.Second, probeResult{servers: -1, free: 1<<20 - 1}, "disk full: /data has 1.0 MB free, 16 MB required", remedyNone},
			{time.Hour, probeResult{servers: -1, free: 0}, "disk full", remedyNone},
			{time.Hour + time.Second, probeResult{servers: -1, free: 1 << 20}, ready, remedyNone},
		}},
		"a full disk does not count towards the restart timeout": {embedded, []step{
			{0, roomy, "write error", remedyRestart},
			{29 * time.Second, full, "disk full", remedyNone},
			{31 * time.Second, roomy, "write error", remedyRestart},
		}},
		"a busy disk causes no restart for ten seconds": {embedded, []step{
			{0, quiet, ready, remedyNone},
			{10*time.Second - 1, quiet, ready, remedyNone},
			{10 * time.Second, quiet, "no answer", remedyRestart},
		}},
		"a response resets the silence timeout": {embedded, []step{
			{0, quiet, ready, remedyNone},
			{9 * time.Second, good, ready, remedyNone},
			{18 * time.Second, quiet, ready, remedyNone},
			{27 * time.Second, quiet, ready, remedyNone},
			{28 * time.Second, quiet, "no answer", remedyRestart},
		}},
		"a silent server on a full disk is reported immediately": {embedded, []step{
			{0, probeResult{err: silent, silent: true, servers: -1, free: 0}, "disk full", remedyNone},
		}},
		"a cluster that elects a leader stays ready for ten seconds": {cluster, []step{
			{0, answering(2), ready, remedyNone},
			{10*time.Second - 1, answering(3), ready, remedyNone},
			{10 * time.Second, answering(2), "NATS rejects writes: no answer", remedyNone},
			{11 * time.Second, good, ready, remedyNone},
		}},
		"a lost quorum is reported by the probe that sees it, until it is restored": {cluster, []step{
			{0, answering(1), "NATS has no quorum (servers responding: 1, required: 2)", remedyNone},
			{time.Second, answering(2), "no answer", remedyNone},
			{2 * time.Second, good, ready, remedyNone},
		}},
		"no server responds to two probes in a row": {cluster, []step{
			{0, answering(0), ready, remedyNone},
			{time.Second, answering(0), "no NATS server responds", remedyNone},
			{time.Hour, answering(0), "no NATS server responds", remedyNone},
		}},
		"no server responds to a probe now and then": {cluster, []step{
			{0, answering(0), ready, remedyNone},
			{time.Second, answering(2), ready, remedyNone},
			{2 * time.Second, answering(0), ready, remedyNone},
			{3 * time.Second, good, ready, remedyNone},
			{4 * time.Second, answering(0), ready, remedyNone},
		}},
		"no server responds once the quorum is lost": {cluster, []step{
			{0, answering(1), "no quorum", remedyNone},
			{time.Second, answering(0), "no NATS server responds", remedyNone},
		}},
		"a rejected write on an external server is reported immediately, without a restart": {cluster, []step{
			{0, probeResult{err: broken, servers: -1, free: -1}, "write error", remedyNone},
			{time.Hour, probeResult{err: broken, servers: -1, free: -1}, "write error", remedyNone},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Unix(1_800_000_000, 0)
			var h storageHealth
			for i, s := range test.steps {
				var do remedy
				h, do = h.after(start.Add(s.at), s.saw, test.kind)
				said := ready
				if h.problem != nil {
					said = h.problem.Error()
				}
				if do != s.do || (said == ready) != (s.says == ready) || !strings.Contains(said, s.says) {
					t.Fatalf("step %d, after %s: remedy %d and problem %q, want %d and %q", i, s.at, do, said, s.do, s.says)
				}
			}
		})
	}
}
