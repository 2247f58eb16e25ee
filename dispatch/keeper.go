package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// prober is a queue or a store, as the keeper sees it.
type prober interface {
	Probe(ctx context.Context) error
}

// keeper proves once a second that queue and results can be written, says so to readiness and to whoever
// writes, and restarts the NATS server in this process when it cannot be written. What follows from a probe
// is decided by storageHealth.
type keeper struct {
	conn   *natsconn.Conn // nil when queue and results are not in NATS
	kind   storageKind
	probed []prober
	before func()                    // called before a restart; may be nil
	mended func(ctx context.Context) // called when writes succeed again after a restart; may be nil
	log    *slog.Logger

	mu      sync.Mutex
	problem error // guarded by mu: why writes fail; nil while they do not
}

const (
	probeEvery = 500 * time.Millisecond
	// outsideTimeout bounds a probe of outside servers, so that a lost quorum shows within three seconds.
	outsideTimeout = time.Second
	// embeddedTimeout is longer: a slow disk is no fault.
	embeddedTimeout = 2 * time.Second
)

// Problem says why the storage does not take writes; nil while it does.
func (k *keeper) Problem() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.problem
}

// run probes until ctx ends. It returns an error when the storage cannot be mended.
func (k *keeper) run(ctx context.Context) error {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	var h storageHealth
	restarted := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		result := k.probe(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var act remedy
		h, act = h.after(time.Now(), result, k.kind)
		k.tell(ctx, h.problem)
		if h.problem == nil && restarted {
			restarted = false
			if k.mended != nil {
				k.mended(ctx)
			}
		}
		switch act {
		case remedyRestart:
			restarted = true
			if k.before != nil {
				k.before()
			}
			k.log.WarnContext(ctx, "restarting the NATS server in this process", "folder", k.kind.dir)
			if err := k.conn.Restart(ctx); err != nil && ctx.Err() == nil {
				k.log.ErrorContext(ctx, "NATS server in this process not restarted", "error", err)
			}
			ticker.Reset(probeEvery)
		case remedyGiveUp:
			return fmt.Errorf("storage failed for %s, and restarting it did not help: %w", restartPatience, h.problem)
		}
	}
}

// probe writes to queue and results, and asks why when that fails.
func (k *keeper) probe(ctx context.Context) probeResult {
	timeout := outsideTimeout
	if k.kind.embedded {
		timeout = embeddedTimeout
	}
	result := probeResult{silent: true, servers: -1, free: -1}
	if result.free = k.free(); result.free >= 0 && result.free < fullBytes { // a write would wait for its time to run out
		return result
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	errs := make([]error, len(k.probed))
	var all sync.WaitGroup
	for i, p := range k.probed {
		all.Go(func() { errs[i] = p.Probe(ctx) })
	}
	all.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			continue
		case result.err == nil:
			result.err = err
		default:
			result.err = fmt.Errorf("%w; %w", result.err, err) // on one line, for people
		}
		switch {
		case k.kind.embedded: // in this process somebody always answers, unless they are busy
			result.silent = result.silent && natsconn.Silent(err)
		default:
			result.silent = result.silent && natsconn.Passing(err)
		}
	}
	if k.conn == nil {
		return result
	}
	if err := k.conn.Stopped(); err != nil {
		// Nobody will answer, or what is written has no name.
		result.err, result.silent = err, false
	}
	if result.err == nil {
		return result
	}
	if k.kind.embedded {
		result.free = k.free() // it may have filled up meanwhile
		return result
	}
	if result.silent {
		result.servers = len(k.conn.RollCall(context.WithoutCancel(ctx)))
	}
	return result
}

// free is the number of bytes free on the disk of the server in this process; -1 when it is not known.
func (k *keeper) free() int64 {
	if !k.kind.embedded || k.conn == nil {
		return -1
	}
	free, err := natsconn.FreeBytes(k.kind.dir)
	if err != nil {
		return -1
	}
	return free
}

// tell notes the problem, and logs when one begins, changes its cause, or ends.
func (k *keeper) tell(ctx context.Context, problem error) {
	k.mu.Lock()
	before := k.problem
	k.problem = problem
	k.mu.Unlock()
	switch {
	case problem == nil && before != nil:
		k.log.InfoContext(ctx, "storage takes writes again")
	case problem != nil && (before == nil || errors.Is(problem, errDiskFull) != errors.Is(before, errDiskFull)):
		k.log.ErrorContext(ctx, "storage does not take writes", "error", problem)
	}
}
