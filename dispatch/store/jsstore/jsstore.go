// Package jsstore implements a store on a NATS key-value bucket, one JSON value per request, so that every dispatcher
// on the same NATS can return every result. Unlike an ordinary bucket, which rejects new values when it is full, this
// one drops its oldest values, because a request whose result cannot be stored cannot end.
package jsstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

var _ store.Store = (*Store)(nil)

// Connection provides the current JetStream context. See natsconn.Conn.
type Connection interface{ JetStream() jetstream.JetStream }

// Config configures a [Store].
type Config struct {
	Prefix   string        // prefix of the bucket's name; empty means natsconn.DefaultPrefix
	TTL      time.Duration // after a record's last change
	MaxBytes int64         // of all records; the oldest are dropped first
	Replicas int           // NATS servers that store each record: 1, 3 or 5
	// Policy controls changes to an existing bucket. With Policy.Exclusive, records of requests that have not ended
	// are read from memory, and waiters are notified directly when a request ends. This saves half of the round trips
	// to the server.
	Policy natsconn.StreamPolicy
	// WriteTimeout limits Create if its context has no deadline: Create retries while the bucket has no leader or the
	// connection is down. Zero means 20 s.
	WriteTimeout time.Duration
	// Problem, if not nil, returns why the storage is known to be broken, or nil. If it is broken, Create fails
	// immediately instead of retrying.
	Problem func() error
	// OnOpenError, if not nil, is called after each failed attempt to open the results.
	OnOpenError func(error)
	// Log receives warnings. Nil discards them.
	Log *slog.Logger
}

// pollInterval is how often Wait reads the record, in case the watcher has missed a change while the connection was
// down. waitersPerSecond makes the interval longer if there are many waiters.
const (
	pollInterval     = time.Second
	waitersPerSecond = 200
)

// Store implements store.Store on JetStream. Create it with [New].
type Store struct {
	conn      Connection
	cfg       Config
	ready     chan struct{}
	known     *known
	secret    atomic.Pointer[store.Secret] // nil until Run has read it
	lastWrite natsconn.LastWrite

	mu      sync.Mutex
	handles handles                                   // guarded by mu
	waiters map[string]map[chan store.Record]struct{} // guarded by mu: by ID
}

// handles are the nats.go objects of the bucket for one connection.
type handles struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	stream jetstream.Stream
}

// New creates a store on the connection. It does nothing until Run.
func New(conn Connection, cfg Config) *Store {
	cfg.Prefix = cmp.Or(cfg.Prefix, natsconn.DefaultPrefix)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 20*time.Second)
	if cfg.Problem == nil {
		cfg.Problem = func() error { return nil }
	}
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	return &Store{conn: conn, cfg: cfg, ready: make(chan struct{}), known: newKnown(cfg.TTL),
		waiters: map[string]map[chan store.Record]struct{}{}}
}

// Run implements store.Store. If the bucket cannot be opened it retries, unless the error is permanent.
func (s *Store) Run(ctx context.Context) error {
	open := func(ctx context.Context) error {
		if err := s.open(ctx); err != nil {
			return err
		}
		return s.shareSecret(ctx)
	}
	if err := natsconn.Retry(ctx, s.cfg.OnOpenError, open); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("open results: %w", err)
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	parts.Go(func() { s.known.run(ctx) })
	parts.Go(func() { s.keepSecret(ctx) })
	close(s.ready)
	if s.cfg.Policy.Exclusive {
		s.scan(ctx)
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if err := s.watch(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "watching results failed; retrying", "error", err)
			pause.For(ctx, time.Second)
		}
	}
	return nil
}

// watch follows all changes, and notifies waiters of records that end, until ctx ends or the watcher does.
func (s *Store) watch(ctx context.Context) error {
	h, err := s.use(ctx)
	if err != nil {
		return err
	}
	watcher, err := h.bucket.WatchAll(ctx, jetstream.UpdatesOnly(), jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch results: %w", err)
	}
	defer stopWatching(watcher)
	var scanning sync.WaitGroup
	defer scanning.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	scanning.Go(func() { s.scan(ctx) }) // the watcher reports later changes
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-check.C:
			if s.conn.JetStream() != h.js {
				return errors.New("watch results: the connection was replaced")
			}
		case entry, open := <-watcher.Updates():
			if !open {
				return errors.New("watch results: the watcher ended")
			}
			if entry != nil {
				s.changed(entry)
			}
		}
	}
}

// changed applies a change reported by the watcher.
func (s *Store) changed(entry jetstream.KeyValueEntry) {
	if final(entry) && !s.awaited(entry.Key()) {
		s.known.forget(entry.Key())
		return
	}
	if r, err := decode(entry); err == nil {
		s.known.wrote(r)
		s.notify(r)
	}
}

// Ready implements store.Store.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// Bytes returns the size of all records.
func (s *Store) Bytes(ctx context.Context) (int64, error) {
	return natsconn.StreamBytes(ctx, s.conn.JetStream(), s.streamName())
}

// The names in JetStream.
func (s *Store) bucketName() string   { return strings.ToUpper(s.cfg.Prefix) + "_RESULTS" }
func (s *Store) streamName() string   { return "KV_" + s.bucketName() } // as nats.go names a bucket's stream
func (s *Store) subjects() string     { return "$KV." + s.bucketName() + ".>" }
func (s *Store) probeSubject() string { return s.cfg.Prefix + ".results.probe" }

// open opens the bucket, and creates it if necessary.
func (s *Store) open(ctx context.Context) error {
	h := handles{js: s.conn.JetStream()}
	var err error
	// This is the stream that nats.go would create for a bucket, except for the discard policy and for direct reads.
	// Direct reads are cheap, but in a cluster the follower that serves them may lag behind what another dispatcher
	// was told is stored.
	h.stream, err = natsconn.EnsureStream(ctx, h.js, jetstream.StreamConfig{
		Name:              s.streamName(),
		Description:       "results of the images accepted by resnet18cloud",
		Subjects:          []string{s.subjects(), s.probeSubject(), s.secretSubject()},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardOld,
		MaxAge:            s.cfg.TTL,
		MaxBytes:          s.cfg.MaxBytes,
		Storage:           jetstream.FileStorage,
		Replicas:          s.cfg.Replicas,
		Duplicates:        min(2*time.Minute, s.cfg.TTL),
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       s.cfg.Policy.Exclusive,
	}, s.cfg.Policy)
	if err != nil {
		return err
	}
	if h.bucket, err = h.js.KeyValue(ctx, s.bucketName()); err != nil {
		return fmt.Errorf("open bucket %s: %w", s.bucketName(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles = h
	return nil
}

// use returns the handles for the current connection. It asks the server only after the connection was replaced.
func (s *Store) use(ctx context.Context) (handles, error) {
	s.mu.Lock()
	h := s.handles
	s.mu.Unlock()
	if h.js == s.conn.JetStream() {
		return h, nil
	}
	if err := s.open(ctx); err != nil {
		return handles{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handles, nil
}

// awaited reports whether anyone waits for the record.
func (s *Store) awaited(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiters[id]) > 0
}

// notify sends a final record to its waiters.
func (s *Store) notify(r store.Record) {
	if !r.Status.Final() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.waiters[r.ID] {
		select {
		case ch <- r:
		default: // already notified
		}
	}
}

func decode(entry jetstream.KeyValueEntry) (store.Record, error) {
	var r store.Record
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return r, fmt.Errorf("read record %s: %w", entry.Key(), err)
	}
	r.Revision = entry.Revision()
	return r, nil
}

func encode(r store.Record) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write record %s: %w", r.ID, err)
	}
	return data, nil
}

// Create implements store.Store. It retries until its deadline while the bucket has no leader or the connection is
// down.
func (s *Store) Create(ctx context.Context, r store.Record) (uint64, error) {
	ctx, cancel := natsconn.WithDefaultTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	for {
		revision, err := s.put(ctx, r, 0)
		if err == nil || errors.Is(err, store.ErrExists) {
			return revision, err
		}
		if problem := s.cfg.Problem(); problem != nil || !natsconn.IsTemporary(err) || ctx.Err() != nil {
			return 0, errors.Join(problem, err)
		}
		pause.For(ctx, 100*time.Millisecond)
	}
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, r store.Record) (uint64, error) {
	revision, err := s.put(ctx, r, r.Revision)
	if errors.Is(err, store.ErrExists) {
		return 0, store.ErrConflict
	}
	return revision, err
}

// put writes the record if its current revision is last, or if it does not exist and last is 0.
func (s *Store) put(ctx context.Context, r store.Record, last uint64) (uint64, error) {
	if err := resnet18cloud.CheckID(r.ID); err != nil {
		return 0, fmt.Errorf("store record: %w", err)
	}
	if !s.cfg.Policy.Exclusive {
		return s.write(ctx, r, last)
	}
	defer s.known.writing(r.ID)()
	revision, err := s.write(ctx, r, last)
	if err != nil {
		s.known.failed(r.ID, last, err)
		return 0, err
	}
	r.Revision = revision
	s.known.wrote(r)
	s.notify(r)
	return revision, nil
}

// write writes to the server. The bucket's own Create needs a second round trip to look for delete markers, which are
// not used here.
func (s *Store) write(ctx context.Context, r store.Record, last uint64) (uint64, error) {
	data, err := encode(r)
	if err != nil {
		return 0, err
	}
	msg := &nats.Msg{Subject: "$KV." + s.bucketName() + "." + r.ID, Data: data}
	ack, err := natsconn.Publish(ctx, s.conn.JetStream(), msg, "", jetstream.WithExpectLastSequencePerSubject(last))
	switch {
	case isConflict(err):
		return 0, store.ErrExists
	case err != nil:
		return 0, fmt.Errorf("store record %s: %w", r.ID, err)
	}
	s.lastWrite.Record(s.conn.JetStream())
	return ack.Sequence, nil
}

// isConflict reports whether a record has another revision than expected. A single server and a cluster return
// different codes (nats-server, server/errors.json: JSStreamWrongLastSequenceErrF,
// JSStreamWrongLastSequenceConstantErr).
func isConflict(err error) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || apiErr.ErrorCode == errWrongLastSequenceConstant)
}

const errWrongLastSequenceConstant jetstream.ErrorCode = 10164

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, id string) (store.Record, error) {
	if resnet18cloud.CheckID(id) != nil {
		return store.Record{}, store.ErrNotFound
	}
	if s.cfg.Policy.Exclusive {
		if r, ok := s.known.get(id); ok {
			return r, nil
		}
	}
	return s.fetch(ctx, id)
}

// readTimeout is how long a read is retried while the bucket has no leader or the connection is down, unless the
// context has a deadline.
const readTimeout = 5 * time.Second

// fetch reads a record from the server. In a cluster, a leader that was cut off keeps serving reads for some seconds
// without the writes of its successor. So a missing record is reported only after a write has succeeded.
func (s *Store) fetch(ctx context.Context, id string) (store.Record, error) {
	ctx, cancel := natsconn.WithDefaultTimeout(ctx, readTimeout)
	defer cancel()
	for confirmed := s.cfg.Replicas < 2; ; {
		r, err := s.fetchOnce(ctx, id)
		if errors.Is(err, store.ErrNotFound) && !confirmed {
			if err = s.probe(ctx); err == nil {
				confirmed = true
				continue
			}
		}
		if err == nil || errors.Is(err, store.ErrNotFound) || !natsconn.IsTemporary(err) || ctx.Err() != nil || s.cfg.Problem() != nil {
			return r, err
		}
		pause.For(ctx, 100*time.Millisecond)
	}
}

func (s *Store) fetchOnce(ctx context.Context, id string) (store.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	h, err := s.use(ctx)
	if err != nil {
		return store.Record{}, fmt.Errorf("get record %s: %w", id, err)
	}
	entry, err := h.bucket.Get(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return store.Record{}, store.ErrNotFound
	case err != nil:
		return store.Record{}, fmt.Errorf("get record %s: %w", id, err)
	}
	return decode(entry)
}

// Probe implements store.Store. It writes a message beside the records that replaces the previous one.
func (s *Store) Probe(ctx context.Context) error {
	if s.lastWrite.Recent(s.conn.JetStream()) {
		return nil
	}
	return s.probe(ctx)
}

func (s *Store) probe(ctx context.Context) error {
	if err := natsconn.Probe(ctx, s.conn.JetStream, s.probeSubject(), s.open); err != nil {
		return fmt.Errorf("write to the results: %w", err)
	}
	s.lastWrite.Record(s.conn.JetStream())
	return nil
}

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, id string) (store.Record, error) {
	final := make(chan store.Record, 1)
	s.listen(id, final)
	defer s.unlisten(id, final)
	for {
		// Even if the caller's deadline has passed, return what is known.
		r, err := s.Get(context.WithoutCancel(ctx), id)
		if err != nil || r.Status.Final() || ctx.Err() != nil {
			return r, err
		}
		poll := time.NewTimer(s.pollAfter())
		select {
		case r := <-final:
			poll.Stop()
			return r, nil
		case <-poll.C:
		case <-ctx.Done():
		}
		poll.Stop()
	}
}

// pollAfter returns how long Wait relies on notifications.
func (s *Store) pollAfter() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(pollInterval, time.Duration(len(s.waiters))*time.Second/waitersPerSecond)
}

func (s *Store) listen(id string, ch chan store.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiters[id] == nil {
		s.waiters[id] = map[chan store.Record]struct{}{}
	}
	s.waiters[id][ch] = struct{}{}
}

func (s *Store) unlisten(id string, ch chan store.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiters[id], ch)
	if len(s.waiters[id]) == 0 {
		delete(s.waiters, id)
	}
}
