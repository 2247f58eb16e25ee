package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/webhook"
	"github.com/resnet18cloud/resnet18cloud/internal/clientaddr"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Dispatcher accepts images over HTTP, queues them, and returns results. Create it with [New] and call Run once; its
// other methods are safe for concurrent use.
type Dispatcher struct {
	cfg     Config
	http    httpx.Server
	admin   *httpx.Server // nil if there is none
	ready   chan struct{}
	uploads *httpx.Uploads
	recent  *recent
	handler http.Handler // the API

	instance  string // random, new at each start
	backend   backend
	models    models
	cache     *cache.Cache
	queue     queue.Queue
	store     store.Store
	limits    limits
	recorder  *recorder
	dashboard dashboard
	failures  *failures

	lost        *lostRequests // nil if no ledger is kept
	startup     startup
	monitor     *storageMonitor
	problem     func() error    // why storage rejects writes; nil if it accepts them
	stored      atomic.Int64    // number of stored results when last counted
	stopping    context.Context // ends, by drain, when Run's context does
	drain       context.CancelFunc
	draining    <-chan struct{} // closed when stopping ends
	inFlight    *inFlight
	proxies     clientaddr.Proxies
	holdings    *holdings
	watches     watches
	hooks       *hooks
	rates       rates
	queueBytes  int64 // maximum size of the queue; set before ready is closed
	listenOnce  sync.Once
	listenError error
}

// New creates a dispatcher. It starts nothing.
func New(cfg Config) (*Dispatcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	proxies, err := clientaddr.ParseProxies(cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
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
		failures: newFailures(cfg.Log),
		startup:  startup{log: cfg.Log},
		problem:  func() error { return nil },
		stopping: stopping,
		drain:    drain,
		draining: stopping.Done(),
		inFlight: newInFlight(),
		proxies:  proxies, holdings: newHoldings(), queueBytes: cfg.QueueMaxBytes,
	}
	allow, err := webhook.ParseAllow(cfg.WebhookAllow)
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	d.hooks = newHooks(d, allow)
	d.monitor = &storageMonitor{log: cfg.Log}
	m := newMetrics(d)
	d.monitor.failed, d.monitor.restarts = m.storage.WithLabelValues(storageProbe).Inc, m.restarts.Inc
	d.recorder.metrics = m
	d.recorder.tally = &d.dashboard.tally
	d.recent.shown = d.shown
	if cfg.Classifier != nil {
		d.backend = inProcess{cfg.Classifier, cfg.ClassifierSlots}
	} else {
		pool, err := forward.New(forward.Config{Endpoints: cfg.Endpoints, TLS: cfg.ReplicaTLS, Slots: cfg.EndpointSlots,
			AttemptTimeout: cfg.AttemptTimeout, Token: cfg.ReplicaToken, Attempted: d.recorder.attempted, Tracer: cfg.Tracer, Log: cfg.Log})
		if err != nil {
			return nil, fmt.Errorf("dispatch: %w", err)
		}
		d.backend = pool
	}
	d.models.backend = d.backend
	public, admin := d.routes()
	d.handler = httpx.Prefix{Base: cfg.BasePath, Trusts: d.fromProxy}.Handler(public)
	d.http = httpx.Server{
		Addr: cfg.Addr, Handler: m.http.Handler(cfg.Guard.Handler(cfg.Log, d.handler)), TLS: cfg.TLS, Tracer: cfg.Tracer, Log: cfg.Log, ShutdownTimeout: cfg.DrainTimeout / 2,
		// Requests that wait for a result must return, or the listener could not close.
		BeforeShutdown: drain,
		ShutdownDelay:  cfg.shutdownDelay(),
	}
	if cfg.AdminAddr != "" {
		d.admin = &httpx.Server{
			Addr: cfg.AdminAddr, Handler: m.http.Handler(httpx.Guard{Hosts: cfg.Guard.Hosts}.Handler(cfg.Log, admin)), Log: cfg.Log,
			ShutdownTimeout: time.Second, MaxConnections: httpx.AdminConnections,
		}
	}
	return d, nil
}

// SetEndpoints replaces the list of replicas. Removed replicas finish the images they have. It returns an error if a
// Classifier in this process does the work.
func (d *Dispatcher) SetEndpoints(urls []string) error {
	pool, ok := d.backend.(*forward.Pool)
	if !ok {
		return errors.New("dispatch: cannot set endpoints: a classifier in this process does the work")
	}
	return pool.SetEndpoints(urls)
}

// Endpoints returns the replicas with their health and load, sorted by URL.
func (d *Dispatcher) Endpoints() []forward.Endpoint { return d.backend.Endpoints() }

// Listen reads the files for TLS and binds the addresses; it fails immediately if another process uses one. Run calls
// it if necessary.
func (d *Dispatcher) Listen() error {
	d.listenOnce.Do(func() { d.listenError = d.listen() })
	return d.listenError
}

func (d *Dispatcher) listen() error {
	if pool, ok := d.backend.(*forward.Pool); ok {
		if err := pool.Load(); err != nil {
			return err
		}
	}
	if d.admin != nil {
		if err := d.admin.Listen(); err != nil {
			return fmt.Errorf("admin address: %w", err)
		}
	}
	return d.http.Listen()
}

// ServeHTTP handles a request to the API from this process: without TLS, and without the checks for web pages.
func (d *Dispatcher) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// AdminURL returns the URL of the server for operators on this machine; empty if there is none. It is valid after
// Listen.
func (d *Dispatcher) AdminURL() string {
	if d.admin == nil {
		return ""
	}
	return d.admin.URL()
}

// URL returns the dispatcher's URL on this machine. It is valid after Listen.
func (d *Dispatcher) URL() string { return d.http.URL() }

// Ready is closed when the dispatcher accepts requests: queue and results are open. There may be no replica yet.
func (d *Dispatcher) Ready() <-chan struct{} { return d.ready }

// AwaitReplica waits until images are accepted and processed: the dispatcher is ready, and at least one replica is
// healthy. It returns ctx's error if ctx ends first.
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

// Run serves until ctx ends. Then it rejects new requests, responds to open ones, lets replicas finish their images,
// and returns; Config.DrainQueue controls what happens to waiting requests. Whatever is not finished within
// DrainTimeout stays in the queue. Until queue and results are open, requests are rejected with the reason.
func (d *Dispatcher) Run(ctx context.Context) error {
	if err := d.Listen(); err != nil {
		return err
	}
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx)) // requests fail until the end
	var background sync.WaitGroup
	background.Go(func() { d.failures.run(counting) })
	background.Go(func() { d.dashboard.run(d.stopping, d) })
	defer background.Wait()
	defer stopCounting()
	defer d.drain()
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving errgroup.Group
	serving.Go(func() error {
		defer cancel()
		return d.http.Run(stop)
	})
	if d.admin != nil {
		serving.Go(func() error {
			defer cancel()
			return d.admin.Run(stop)
		})
	}
	err := d.runStorage(ctx, stop, cancel, serving.Wait)
	cancel()
	if served := serving.Wait(); served != nil {
		d.cfg.Log.WarnContext(ctx, "HTTP server failed", "error", served)
	}
	return err
}

// runStorage opens queue and results, works until stop ends, drains, and closes them. served returns when the HTTP
// server has sent its last response.
func (d *Dispatcher) runStorage(ctx, stop context.Context, cancel context.CancelFunc, served func() error) (err error) {
	// Queue, results and replicas must outlive stop, because draining needs them.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if d.queue == nil {
		conn, err := d.openNATS(stop, d.monitor)
		if err != nil {
			if stop.Err() != nil {
				return nil
			}
			return err
		}
		defer func() { err = errors.Join(err, d.closeLedger(), conn.Close()) }()
	}
	d.monitor.probed = []prober{d.queue, d.store}
	parts, life := errgroup.WithContext(life)
	parts.Go(func() error { return d.queue.Run(life) })
	parts.Go(func() error { return d.store.Run(life) })
	parts.Go(func() error { return d.backend.Run(life) })
	if d.open(stop, life) {
		d.recoverLost(stop)
		parts.Go(func() error { return d.monitor.run(life) })
		d.serve(stop, life, cancel, served)
	}
	end()
	return parts.Wait()
}

// countUnfinished counts the requests of an earlier process as their clients'. Admission and reconciliation count those that
// the store has not read yet.
func (d *Dispatcher) countUnfinished(ctx context.Context) {
	now := time.Now()
	d.holdings.begin(now)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if unfinished, err := d.store.Unfinished(ctx); err == nil {
		d.holdings.sweep(unfinished, now)
	}
}

// open waits until queue and store are open. It reports false if stop ended or a part failed first.
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

// serve processes requests until stop ends or a part fails, and then drains.
func (d *Dispatcher) serve(stop, life context.Context, cancel context.CancelFunc, served func() error) {
	defer context.AfterFunc(life, cancel)()
	working, finish := context.WithCancel(life) // cancels jobs that exceed the drain timeout
	defer finish()

	d.countUnfinished(stop)
	var g errgroup.Group
	g.Go(func() error { d.work(stop, working); return nil })
	g.Go(func() error { d.reconcileLoop(stop); return nil })
	g.Go(func() error { d.hooks.run(working); return nil })
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
	d.recorder.metrics.Ready()
	d.cfg.Log.InfoContext(stop, "dispatcher ready", "url", d.URL(), "endpoints", endpointURL(d.backend))
	<-stop.Done()
	_ = served() // Run logs its error
	d.inFlight.done.Wait()
	finish()
	_ = g.Wait() // neither returns an error
}
