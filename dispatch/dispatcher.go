package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Dispatcher is one front door. Make it with [New] and Run it once; other methods are safe for concurrent
// use.
type Dispatcher struct {
	cfg     Config
	http    httpx.Server
	ready   chan struct{}
	uploads *httpx.Uploads
	recent  *recent

	instance string // random, new at each start
	backend  backend
	models   models
	cache    *cache.Cache
	queue    queue.Queue
	store    store.Store
	limits   limits
	recorder *recorder

	salvage     *salvage // nil where no ledger is kept
	opening     opening
	problem     func() error    // why queue and results do not take writes; nil while they do
	stored      atomic.Int64    // results stored when that was last asked
	stopping    context.Context // ends, by drain, when Run's context does
	drain       context.CancelFunc
	draining    <-chan struct{} // closed when stopping ends
	inFlight    *inFlight
	listenOnce  sync.Once
	listenError error
}

// New makes a dispatcher. It starts nothing.
func New(cfg Config) (*Dispatcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	stopping, drain := context.WithCancel(context.Background())
	d := &Dispatcher{
		cfg:      cfg,
		ready:    make(chan struct{}),
		uploads:  httpx.NewUploads(cfg.uploadLimits()),
		recent:   newRecent(),
		cache:    cache.New(cfg.CacheSize),
		queue:    cfg.Queue,
		store:    cfg.Store,
		instance: uuid.NewString(),
		limits:   cfg.limits(),
		recorder: newRecorder(time.Now()),
		opening:  opening{log: cfg.Log},
		problem:  func() error { return nil },
		stopping: stopping,
		drain:    drain,
		draining: stopping.Done(),
		inFlight: newInFlight(),
	}
	d.recorder.metrics = newMetrics(d)
	if cfg.Classifier != nil {
		d.backend = inProcess{cfg.Classifier, cfg.ClassifierSlots}
	} else {
		pool, err := forward.New(forward.Config{Endpoints: cfg.Endpoints, Slots: cfg.EndpointSlots,
			AttemptTimeout: cfg.AttemptTimeout, Attempted: d.recorder.attempted, Log: cfg.Log})
		if err != nil {
			return nil, fmt.Errorf("dispatch: %w", err)
		}
		d.backend = pool
	}
	d.models.backend = d.backend
	d.http = httpx.Server{
		Addr: cfg.Addr, Handler: d.routes(), Log: cfg.Log, ShutdownTimeout: cfg.DrainTimeout / 2,
		// Who waits for a result is told where things stand, or the listener could not close.
		BeforeShutdown: drain,
	}
	return d, nil
}

// SetEndpoints replaces the list of replicas. Images on their way to one that is gone finish there. It is an
// error with a Classifier in this process.
func (d *Dispatcher) SetEndpoints(urls []string) error {
	pool, ok := d.backend.(*forward.Pool)
	if !ok {
		return errors.New("dispatch: there are no endpoints to set: a classifier in this process does the work")
	}
	return pool.SetEndpoints(urls)
}

// Endpoints lists the replicas, their health and their load, by URL.
func (d *Dispatcher) Endpoints() []forward.Endpoint { return d.backend.Endpoints() }

// Listen takes the address; it fails at once when another process has it. Run calls it unless it was called.
func (d *Dispatcher) Listen() error {
	d.listenOnce.Do(func() { d.listenError = d.http.Listen() })
	return d.listenError
}

// URL is where the dispatcher can be reached from this machine; valid after Listen.
func (d *Dispatcher) URL() string { return d.http.URL() }

// Ready is closed when requests are taken: queue and results are open. Replicas may still be missing.
func (d *Dispatcher) Ready() <-chan struct{} { return d.ready }

// AwaitReplica returns when images are both taken and worked on: Ready, and at least one replica is healthy.
// It returns ctx's error when that ends first.
func (d *Dispatcher) AwaitReplica(ctx context.Context) error {
	select {
	case <-d.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		slots, changed := d.backend.Slots()
		if slots > 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run serves until ctx ends. Then it refuses new requests, answers those that are here, lets replicas finish
// what they have, and returns; see Config.DrainQueue for what waits in the queue. What could not be finished
// within DrainTimeout stays in the queue. Until queue and results are open, requests are refused with the
// reason.
func (d *Dispatcher) Run(ctx context.Context) error {
	if err := d.Listen(); err != nil {
		return err
	}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving errgroup.Group
	serving.Go(func() error {
		defer cancel()
		return d.http.Run(stop)
	})
	err := d.runStorage(ctx, stop, cancel, serving.Wait)
	cancel()
	if served := serving.Wait(); served != nil {
		d.cfg.Log.WarnContext(ctx, "HTTP server", "error", served)
	}
	return err
}

// runStorage opens queue and results, works until stop ends, drains, and closes them. served returns when
// the HTTP server has answered its last request.
func (d *Dispatcher) runStorage(ctx, stop context.Context, cancel context.CancelFunc, served func() error) (err error) {
	// Queue, results and replicas outlive stop: draining needs them.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	keeper := &keeper{log: d.cfg.Log}
	if d.queue == nil {
		conn, err := d.openNATS(stop, keeper)
		if err != nil {
			if stop.Err() != nil {
				return nil
			}
			return err
		}
		defer func() { err = errors.Join(err, d.closeLedger(), conn.Close()) }()
	}
	keeper.probed = []prober{d.queue, d.store}
	parts, life := errgroup.WithContext(life)
	parts.Go(func() error { return d.queue.Run(life) })
	parts.Go(func() error { return d.store.Run(life) })
	parts.Go(func() error { return d.backend.Run(life) })
	if d.open(stop, life) {
		d.salvageNow(stop)
		parts.Go(func() error { return keeper.run(life) })
		d.serve(stop, life, cancel, served)
	}
	end()
	return parts.Wait()
}

// open waits until queue and store are. It reports false when stop ended or a part failed before.
func (d *Dispatcher) open(stop, life context.Context) bool {
	for _, ready := range []<-chan struct{}{d.queue.Ready(), d.store.Ready()} {
		select {
		case <-ready:
		case <-stop.Done():
			return false
		case <-life.Done():
			return false
		}
	}
	return true
}

// serve takes requests and works on them until stop ends or a part fails, and drains.
func (d *Dispatcher) serve(stop, life context.Context, cancel context.CancelFunc, served func() error) {
	defer context.AfterFunc(life, cancel)()
	working, finish := context.WithCancel(life) // the end of jobs that would take too long
	defer finish()

	var g errgroup.Group
	g.Go(func() error { d.work(stop, working); return nil })
	g.Go(func() error { d.audit(stop); return nil })
	g.Go(func() error {
		<-stop.Done()
		select {
		case <-time.After(d.cfg.DrainTimeout):
			finish()
		case <-working.Done():
		}
		return nil
	})
	close(d.ready)
	d.cfg.Log.InfoContext(stop, "dispatcher ready", "url", d.URL(), "endpoints", endpointURL(d.backend))
	<-stop.Done()
	_ = served() // Run reports its error
	d.inFlight.done.Wait()
	finish()
	_ = g.Wait() // neither returns an error
}
