package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/jsqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// openNATS makes queue and store on a connection to NATS, once JetStream answers there.
func (d *Dispatcher) openNATS(ctx context.Context, k *keeper) (*natsconn.Conn, error) {
	embedded := d.cfg.NATS.URL == ""
	sizes := storeSizes{queue: d.cfg.QueueMaxBytes, results: d.cfg.ResultsMaxBytes}
	least := leastSizes(d.cfg.MaxImageBytes)
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
	if err := conn.Await(ctx, d.opening.say); err != nil {
		_ = conn.Close() // there is nothing to flush
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	k.conn = conn
	k.kind = storageKind{embedded: embedded, replicas: d.cfg.NATSReplicas, dir: conn.Dir(), needed: min(16<<20, least.queue)}
	d.problem = k.Problem
	policy := func(bytes, messages string) natsconn.StreamPolicy {
		return natsconn.StreamPolicy{Exclusive: embedded, UseExisting: d.cfg.NATSUseExisting,
			Settings: natsconn.Settings{Replicas: "--nats-replicas", Bytes: bytes, Messages: messages, Age: "--result-ttl"}}
	}
	d.queue = jsqueue.New(conn, jsqueue.Config{
		Prefix: d.cfg.NATSPrefix, Capacity: d.cfg.QueueCapacity, MaxBytes: sizes.queue, AckWait: d.cfg.RedeliverAfter,
		MaxAge: d.cfg.ResultTTL, Replicas: d.cfg.NATSReplicas, Policy: policy("--queue-bytes", "--queue-capacity"),
		PublishTimeout: d.cfg.SubmitTimeout, Problem: k.Problem, Opening: d.opening.say, Log: d.cfg.Log,
	})
	results := jsstore.New(conn, jsstore.Config{
		Prefix: d.cfg.NATSPrefix, TTL: d.cfg.ResultTTL, MaxBytes: sizes.results, Replicas: d.cfg.NATSReplicas,
		Policy: policy("--results-bytes", ""), WriteTimeout: d.cfg.SubmitTimeout, Problem: k.Problem, Opening: d.opening.say, Log: d.cfg.Log,
	})
	d.store = results
	if embedded {
		if err := d.openLedger(conn.Dir(), sizes, results); err != nil {
			return nil, errors.Join(fmt.Errorf("dispatch: %w", err), conn.Close())
		}
		k.before, k.mended = func() { d.salvage.due.Store(true) }, d.salvageAgain
	}
	return conn, nil
}

// fitDisk has queue and results fit the disk of the data folder, and says so when they become smaller.
func (d *Dispatcher) fitDisk(ctx context.Context, want, least storeSizes) (storeSizes, error) {
	dir := d.cfg.NATS.DataDir
	if dir == "" {
		dir = natsconn.TempDir()
		d.cfg.Log.WarnContext(ctx, "queue and results are in a temporary folder: they end with this process")
	}
	disk, err := natsconn.LookAtDisk(dir)
	if err != nil {
		return want, fmt.Errorf("dispatch: %w", err)
	}
	fit, err := fitDisk(want, least, disk)
	if err != nil {
		return want, fmt.Errorf("dispatch: the disk of the data folder %s is too small: %w", dir, err)
	}
	if fit != want {
		d.cfg.Log.WarnContext(ctx, "the disk is small: queue and results get less room than configured",
			"folder", dir, "free", megabytes(disk.Free), "queue", megabytes(fit.queue), "results", megabytes(fit.results),
			"queue_wanted", megabytes(want.queue), "results_wanted", megabytes(want.results))
	}
	return fit, nil
}

// opening is what the dispatcher waits for before it can take requests.
type opening struct {
	log *slog.Logger

	mu  sync.Mutex
	err error // guarded by mu
}

// say notes why queue or results are not open yet, and logs a reason that is new.
func (o *opening) say(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil || o.err.Error() != err.Error() {
		o.log.Warn("waiting for NATS: queue and results are not open yet", "error", err)
	}
	o.err = err
}

func (o *opening) reason() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
