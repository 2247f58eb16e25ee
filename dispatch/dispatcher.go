package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/jsqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// uploadTimeout is how long a request may take to arrive.
const uploadTimeout = time.Minute

// Dispatcher is one front door. Make it with [New] and Run it once; other methods are safe for concurrent
// use.
type Dispatcher struct {
	cfg     Config
	http    httpx.Server
	ready   chan struct{}
	uploads chan struct{} // one element per upload being read

	instance string // random, new at each start
	backend  backend
	models   models
	cache    *cache.Cache
	queue    queue.Queue
	store    store.Store
	limits   limits
	recorder *recorder

	draining    chan struct{} // closed when Run's context ends
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
	d := &Dispatcher{
		cfg:      cfg,
		ready:    make(chan struct{}),
		uploads:  make(chan struct{}, cfg.MaxUploads),
		cache:    cache.New(cfg.CacheSize),
		queue:    cfg.Queue,
		store:    cfg.Store,
		instance: uuid.NewString(),
		limits:   limits{attempts: cfg.Attempts, wait: cfg.ResultTTL / 2, silence: cfg.RedeliverAfter},
		recorder: newRecorder(time.Now()),
		draining: make(chan struct{}),
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
		// An upload, a wait for its result, and the reading of the answer.
		ReadTimeout: uploadTimeout, WriteTimeout: uploadTimeout + cfg.MaxWait + 30*time.Second,
		// Who waits for a result is told where things stand, or the listener could not close.
		BeforeShutdown: func() { close(d.draining) },
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

// Run serves until ctx ends. Then it refuses new requests, answers those in the house, lets replicas finish
// what they have, and returns; see Config.DrainQueue for what waits in the queue. What could not be finished
// within DrainTimeout stays in the queue.
func (d *Dispatcher) Run(ctx context.Context) (err error) {
	if err := d.Listen(); err != nil {
		return err
	}
	if d.queue == nil {
		conn, err := d.openNATS(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
	}
	// Queue, results and replicas outlive ctx: draining needs them.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	parts, life := errgroup.WithContext(life)
	parts.Go(func() error { return d.queue.Run(life) })
	parts.Go(func() error { return d.store.Run(life) })
	parts.Go(func() error { return d.backend.Run(life) })
	if d.open(ctx, life) {
		d.serve(ctx, life)
	}
	end()
	return parts.Wait()
}

// openNATS connects, and makes queue and store on the connection.
func (d *Dispatcher) openNATS(ctx context.Context) (*natsconn.Conn, error) {
	if d.cfg.NATS.URL == "" && d.cfg.NATS.DataDir == "" {
		d.cfg.Log.WarnContext(ctx, "queue and results are in a temporary folder: they end with this process")
	}
	conn, err := natsconn.Open(ctx, d.cfg.NATS)
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	if conn.Exclusive() {
		d.limits.silence = 0 // there is no other dispatcher
	}
	d.queue = jsqueue.New(conn.JetStream(), jsqueue.Config{
		Capacity: d.cfg.QueueCapacity, MaxBytes: d.cfg.QueueMaxBytes, AckWait: d.cfg.RedeliverAfter,
		MaxAge: d.cfg.ResultTTL, Replicas: d.cfg.NATSReplicas, Exclusive: conn.Exclusive(),
	})
	d.store = jsstore.New(conn.JetStream(), jsstore.Config{
		TTL: d.cfg.ResultTTL, MaxBytes: d.cfg.ResultsMaxBytes, Replicas: d.cfg.NATSReplicas,
		Exclusive: conn.Exclusive(),
	})
	return conn, nil
}

// open waits until queue and store are. It reports false when ctx ended or a part failed before.
func (d *Dispatcher) open(ctx, life context.Context) bool {
	for _, ready := range []<-chan struct{}{d.queue.Ready(), d.store.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return false
		case <-life.Done():
			return false
		}
	}
	return true
}

// serve takes requests and works on them until ctx ends or a part fails, and drains.
func (d *Dispatcher) serve(ctx, life context.Context) {
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
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
	d.cfg.Log.InfoContext(ctx, "dispatcher ready", "url", d.URL(), "endpoints", endpointURL(d.backend))
	if err := d.http.Run(stop); err != nil {
		d.cfg.Log.WarnContext(ctx, "HTTP server", "error", err)
		cancel()
	}
	d.inFlight.done.Wait()
	finish()
	_ = g.Wait() // neither returns an error
}
