package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/jsqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// openNATS creates queue and store on a connection to NATS, once JetStream responds there.
func (d *Dispatcher) openNATS(ctx context.Context, monitor *storageMonitor) (*natsconn.Conn, error) {
	embedded := d.cfg.NATS.URL == ""
	sizes := storeSizes{queue: d.cfg.QueueMaxBytes, results: d.cfg.ResultsMaxBytes}
	least := minSizes(d.cfg.MaxImageBytes)
	if embedded {
		var err error
		if sizes, err = d.fitDisk(ctx, sizes, least); err != nil {
			return nil, err
		}
	}
	conn, err := natsconn.Open(ctx, d.cfg.NATS)
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	if err := conn.Await(ctx, d.startup.set); err != nil {
		_ = conn.Close() // there is nothing to flush
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	monitor.kind = storageKind{embedded: embedded, replicas: d.cfg.NATSReplicas, dir: conn.Dir(), needed: min(16<<20, least.queue)}
	monitor.limits = sizes
	d.problem, d.queueBytes = monitor.Problem, sizes.queue
	policy := func(bytes, messages string) natsconn.StreamPolicy {
		return natsconn.StreamPolicy{Exclusive: embedded, UseExisting: d.cfg.NATSUseExisting,
			Settings: natsconn.Settings{Replicas: "--nats-replicas", Bytes: bytes, Messages: messages, Age: "--result-ttl"}}
	}
	jobs := jsqueue.New(conn, jsqueue.Config{
		Prefix: d.cfg.NATSPrefix, Capacity: d.cfg.QueueCapacity, MaxBytes: sizes.queue, AckWait: d.cfg.RedeliverAfter,
		MaxAge: d.cfg.ResultTTL, Replicas: d.cfg.NATSReplicas, Policy: policy("--queue-bytes", "--queue-capacity"),
		PublishTimeout: d.cfg.SubmitTimeout, Problem: monitor.Problem, OnOpenError: d.startup.set, Log: d.cfg.Log,
		Redelivered: d.recorder.metrics.redelivered.Inc,
	})
	results := jsstore.New(conn, jsstore.Config{
		Prefix: d.cfg.NATSPrefix, TTL: d.cfg.ResultTTL, MaxBytes: sizes.results, Replicas: d.cfg.NATSReplicas,
		Policy: policy("--results-bytes", ""), WriteTimeout: d.cfg.SubmitTimeout, Problem: monitor.Problem, OnOpenError: d.startup.set, Log: d.cfg.Log,
	})
	d.queue, d.store = jobs, results
	monitor.measured = map[string]func(context.Context) (int64, error){"queue": jobs.Bytes, "results": results.Bytes}
	monitor.conn.Store(conn)
	if embedded {
		if err := d.openLedger(conn.Dir(), sizes, results); err != nil {
			return nil, errors.Join(fmt.Errorf("dispatch: %w", err), conn.Close())
		}
		monitor.before, monitor.restored = func() { d.lost.due.Store(true) }, d.recoverAfterRestart
	}
	return conn, nil
}

// fitDisk fits queue and results to the disk of the data folder, and logs a warning if they become smaller.
func (d *Dispatcher) fitDisk(ctx context.Context, want, least storeSizes) (storeSizes, error) {
	dir := d.cfg.NATS.DataDir
	var disk natsconn.Disk
	var err error
	if dir == "" {
		d.cfg.Log.WarnContext(ctx, "queue and results are in a temporary folder and are deleted when this process exits")
		dir = os.TempDir()
		disk.Free, err = natsconn.FreeBytes(dir) // a new folder there is empty
	} else {
		disk, err = natsconn.StatDisk(dir)
	}
	if err != nil {
		return want, fmt.Errorf("dispatch: %w", err)
	}
	fit, err := fitDisk(want, least, disk)
	if err != nil {
		return want, fmt.Errorf("dispatch: the disk of the data folder %s is too small: %w", dir, err)
	}
	if fit != want {
		d.cfg.Log.WarnContext(ctx, "the disk is small: queue and results are smaller than configured",
			"folder", dir, "free", megabytes(disk.Free), "queue", megabytes(fit.queue), "results", megabytes(fit.results),
			"queue_configured", megabytes(want.queue), "results_configured", megabytes(want.results))
	}
	return fit, nil
}

// startup tracks why the dispatcher cannot accept requests yet.
type startup struct {
	log *slog.Logger

	mu  sync.Mutex
	err error // guarded by mu
}

// set records why queue or results are not open yet, and logs the reason if it is new.
func (o *startup) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil || o.err.Error() != err.Error() {
		o.log.Warn("waiting for NATS: queue and results are not open yet", "error", err)
	}
	o.err = err
}

func (o *startup) reason() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
