package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// prober is a queue or a store that can be probed.
type prober interface {
	Probe(ctx context.Context) error
}

// storageMonitor checks twice a second that queue and results accept writes. It provides the result to the readiness
// check and to writers, and restarts the embedded NATS server if writes fail. storageHealth decides what to do after
// a probe.
type storageMonitor struct {
	conn     atomic.Pointer[natsconn.Conn] // nil if queue and results are not in NATS, or before they are; set after kind and limits
	kind     storageKind
	limits   storeSizes
	probed   []prober
	measured map[string]func(context.Context) (int64, error) // sizes of stores, by their labels in metrics
	before   func()                                          // called before a restart; may be nil
	restored func(ctx context.Context)                       // called when writes succeed after a restart; may be nil
	failed   func()                                          // called for each probe of a part that failed
	restarts func()                                          // called for each restart
	log      *slog.Logger

	mu      sync.Mutex
	problem error            // guarded by mu: why writes fail; nil if they succeed
	sizes   map[string]int64 // guarded by mu: in bytes, by label
}

const (
	probeInterval = 500 * time.Millisecond
	// externalTimeout limits a probe of external servers. A lost quorum is detected within three seconds: the last write
	// may be 0.9 s old when a probe is left out, and the next one is half a second later.
	externalTimeout = 1500 * time.Millisecond
	// rollCallDelay is how long a write may take before the servers are asked whether they are there.
	rollCallDelay = 100 * time.Millisecond
	// embeddedTimeout is longer, because a slow disk is not a failure.
	embeddedTimeout = 2 * time.Second
	// measureEvery is the number of probes between two measurements of sizes.
	measureEvery = 10
)

// Problem returns why the storage rejects writes, or nil if it accepts them.
func (m *storageMonitor) Problem() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problem
}

// size returns the size of a store when it was last measured.
func (m *storageMonitor) size(label string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sizes[label]
}

// capacity returns the maximum sizes, or zero before the stores are open.
func (m *storageMonitor) capacity() storeSizes {
	if m.conn.Load() == nil {
		return storeSizes{}
	}
	return m.limits
}

// measure measures the sizes of stores. Those that do not respond keep theirs.
func (m *storageMonitor) measure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, externalTimeout)
	defer cancel()
	for label, measure := range m.measured {
		n, err := measure(ctx)
		if err != nil {
			continue
		}
		m.mu.Lock()
		if m.sizes == nil {
			m.sizes = map[string]int64{}
		}
		m.sizes[label] = n
		m.mu.Unlock()
	}
}

// run probes until ctx ends. It returns an error if the storage cannot be restored.
func (m *storageMonitor) run(ctx context.Context) error {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	var measuring sync.WaitGroup
	defer measuring.Wait()
	var h storageHealth
	restarted := false
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		result := m.probe(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if result.err == nil && n%measureEvery == 0 {
			measuring.Go(func() { m.measure(ctx) }) // beside probes: it may wait for an answer as long as they
		}
		var act remedy
		h, act = h.after(time.Now(), result, m.kind)
		m.setProblem(ctx, h.problem)
		if h.problem == nil && restarted {
			restarted = false
			if m.restored != nil {
				m.restored(ctx)
			}
		}
		switch act {
		case remedyRestart:
			restarted = true
			if m.before != nil {
				m.before()
			}
			m.log.WarnContext(ctx, "restarting the embedded NATS server", "folder", m.kind.dir)
			m.restarts()
			if err := m.conn.Load().Restart(ctx); err != nil && ctx.Err() == nil {
				m.log.ErrorContext(ctx, "restarting the embedded NATS server failed", "error", err)
			}
			ticker.Reset(probeInterval)
		case remedyGiveUp:
			return fmt.Errorf("storage failed for %s despite restarts: %w", restartTimeout, h.problem)
		}
	}
}

// probe writes to queue and results, and collects details if that fails.
func (m *storageMonitor) probe(ctx context.Context) probeResult {
	timeout := externalTimeout
	if m.kind.embedded {
		timeout = embeddedTimeout
	}
	result := probeResult{servers: -1, free: -1}
	if result.free = m.free(); result.free >= 0 && result.free < fullBytes { // a write would block until its timeout
		return result
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn := m.conn.Load()
	var errs []error
	if conn == nil || m.kind.embedded {
		errs = m.write(ctx)
	} else {
		errs, result.servers = m.writeOrCount(ctx, conn)
	}
	for _, err := range errs {
		if err != nil {
			m.failed()
		}
	}
	result.err, result.silent = joined(errs), m.silent(errs)
	if conn == nil {
		return result
	}
	if err := conn.Stopped(); err != nil {
		// No probe will succeed, or the data folder was deleted.
		result.err, result.silent = err, false
	}
	if result.err != nil && m.kind.embedded {
		result.free = m.free() // it may have filled up meanwhile
	}
	return result
}

// writeOrCount writes to external servers. If there is no response, it returns how many servers greet. Fewer than a majority
// greet only if they had until the end of ctx, and until then each write was repeated: both together show a lost quorum, and a
// busy machine or a server that starts does not.
func (m *storageMonitor) writeOrCount(ctx context.Context, conn *natsconn.Conn) (errs []error, servers int) {
	counting, counted := context.WithCancel(ctx)
	var count sync.WaitGroup
	count.Go(func() {
		defer counted()
		if pause.For(counting, rollCallDelay); counting.Err() == nil {
			servers = conn.RespondingServers(counting, m.kind.majority())
		}
	})
	errs = m.write(ctx)
	for m.silent(errs) && counting.Err() == nil {
		if pause.For(counting, rollCallDelay); counting.Err() == nil {
			errs = m.write(ctx)
		}
	}
	counted()
	count.Wait()
	if !m.silent(errs) {
		return errs, -1
	}
	return errs, servers
}

// write writes to queue and results, and returns an error or nil of each.
func (m *storageMonitor) write(ctx context.Context) []error {
	errs := make([]error, len(m.probed))
	var all sync.WaitGroup
	for i, p := range m.probed {
		all.Go(func() { errs[i] = p.Probe(ctx) })
	}
	all.Wait()
	return errs
}

// silent reports whether writes failed, and all for lack of a response.
func (m *storageMonitor) silent(errs []error) bool {
	silent := false
	for _, err := range errs {
		switch {
		case err == nil:
			continue
		case m.kind.embedded && !natsconn.IsTimeout(err): // an embedded server always responds, unless it is busy
			return false
		case !m.kind.embedded && !natsconn.IsTemporary(err):
			return false
		}
		silent = true
	}
	return silent
}

// joined joins errors on one line, for readability.
func joined(errs []error) (all error) {
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// free returns the free bytes on the disk of the embedded server, or -1 if unknown.
func (m *storageMonitor) free() int64 {
	if m.conn.Load() == nil || !m.kind.embedded {
		return -1
	}
	free, err := natsconn.FreeBytes(m.kind.dir)
	if err != nil {
		return -1
	}
	return free
}

// setProblem stores the problem, and logs when one begins, changes its cause, or ends.
func (m *storageMonitor) setProblem(ctx context.Context, problem error) {
	m.mu.Lock()
	before := m.problem
	m.problem = problem
	m.mu.Unlock()
	switch {
	case problem == nil && before != nil:
		m.log.InfoContext(ctx, "storage accepts writes again")
	case problem != nil && (before == nil || errors.Is(problem, errDiskFull) != errors.Is(before, errDiskFull)):
		m.log.ErrorContext(ctx, "storage rejects writes", "error", problem)
	}
}
