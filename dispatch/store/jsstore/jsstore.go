// Package jsstore keeps records in a NATS key-value bucket, one JSON value per request, so that every
// dispatcher on the same NATS answers for every id. The one thing to know: the bucket drops its oldest
// values when its bytes are used up, where an ordinary one would refuse new ones, because a result that
// cannot be stored is a request that cannot end.
package jsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

var _ store.Store = (*Store)(nil)

// Connection is the way to JetStream of now. See natsconn.Conn.
type Connection interface{ JetStream() jetstream.JetStream }

// Config says how much a store keeps, and for how long.
type Config struct {
	Prefix   string        // what the bucket is named after; empty means natsconn.DefaultPrefix
	TTL      time.Duration // after a record's last change
	MaxBytes int64         // of all records; the oldest go first
	Replicas int           // NATS servers that keep each record: 1, 3 or 5
	// Policy says what may be done to a bucket that exists. With Policy.Exclusive, records of requests that have not
	// ended are read from this process's memory, and those who wait for one are told by whoever ends it: half of the
	// trips to the server are saved.
	Policy natsconn.StreamPolicy
	// WriteTimeout bounds Create where its context does not: it tries again while the bucket has no leader or the
	// connection is away. Zero means 20 s.
	WriteTimeout time.Duration
	// Problem, when not nil, says why the storage is known to be out of order, nil while it is not: Create then fails at
	// once instead of trying again.
	Problem func() error
	// Opening, when not nil, is told why the results cannot be opened yet, at each try.
	Opening func(error)
	// Log receives what is wrong. Nil discards it.
	Log *slog.Logger
}

// pollInterval is how often Wait looks for itself, in case the watcher has missed something while the connection was
// away; waitersPerSecond makes it longer where many wait.
const (
	pollInterval     = time.Second
	waitersPerSecond = 200
)

// Store is a store.Store on JetStream. Make it with [New].
type Store struct {
	conn  Connection
	cfg   Config
	ready chan struct{}
	known *known
	proof natsconn.Proof

	mu      sync.Mutex
	handles handles                                   // guarded by mu
	waiters map[string]map[chan store.Record]struct{} // guarded by mu: by id
}

// handles are what nats.go needs to talk to the bucket over one connection.
type handles struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	stream jetstream.Stream
}

// New makes a store on the connection. It does nothing until Run.
func New(conn Connection, cfg Config) *Store {
	if cfg.Prefix == "" {
		cfg.Prefix = natsconn.DefaultPrefix
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 20 * time.Second
	}
	if cfg.Problem == nil {
		cfg.Problem = func() error { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{conn: conn, cfg: cfg, ready: make(chan struct{}), known: newKnown(cfg.TTL),
		waiters: map[string]map[chan store.Record]struct{}{}}
}

// Run implements store.Store. While the bucket cannot be opened it tries again, unless time does not mend the cause.
func (s *Store) Run(ctx context.Context) error {
	if err := natsconn.Retry(ctx, s.cfg.Opening, s.open); err != nil {
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
	close(s.ready)
	if s.cfg.Policy.Exclusive {
		s.scan(ctx)
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if err := s.watch(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "results are not watched; trying again", "error", err)
			pause(ctx, time.Second)
		}
	}
	return nil
}

// watch follows all changes, and tells waiters of records that end, until ctx ends or the watcher does.
func (s *Store) watch(ctx context.Context) error {
	h, err := s.use(ctx)
	if err != nil {
		return err
	}
	watcher, err := h.bucket.WatchAll(ctx, jetstream.UpdatesOnly(), jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch results: %w", err)
	}
	defer func() { _ = watcher.Stop() }()
	var scanning sync.WaitGroup
	defer scanning.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	scanning.Go(func() { s.scan(ctx) }) // the watcher sees what changes from now on
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

// changed notes what the watcher reports.
func (s *Store) changed(entry jetstream.KeyValueEntry) {
	if final(entry) && !s.awaited(entry.Key()) {
		s.known.forget(entry.Key())
		return
	}
	if r, err := decode(entry); err == nil {
		s.known.wrote(r)
		s.tell(r)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Ready implements store.Store.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// The names of what the store has in JetStream.
func (s *Store) bucketName() string   { return strings.ToUpper(s.cfg.Prefix) + "_RESULTS" }
func (s *Store) streamName() string   { return "KV_" + s.bucketName() } // as nats.go names a bucket's stream
func (s *Store) subjects() string     { return "$KV." + s.bucketName() + ".>" }
func (s *Store) probeSubject() string { return s.cfg.Prefix + ".results.probe" }

// open makes the bucket unless it is there.
func (s *Store) open(ctx context.Context) error {
	h := handles{js: s.conn.JetStream()}
	var err error
	// The bucket's stream as nats.go would make it, but for what it discards, and for direct reads, which are cheap: in a
	// cluster a follower that answers these may not yet have what another dispatcher was told is stored.
	h.stream, err = natsconn.EnsureStream(ctx, h.js, jetstream.StreamConfig{
		Name:              s.streamName(),
		Description:       "what became of the images that resnet18cloud accepted",
		Subjects:          []string{s.subjects(), s.probeSubject()},
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

// use returns the handles for the connection of now. Only after the connection was replaced it asks the server.
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

// awaited reports whether anybody waits for the record.
func (s *Store) awaited(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiters[id]) > 0
}

// tell hands a record that is final to who waits for it.
func (s *Store) tell(r store.Record) {
	if !r.Status.Final() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.waiters[r.ID] {
		select {
		case ch <- r:
		default: // was told before
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

// Create implements store.Store. While the bucket has no leader, or the connection is away, it tries again until its
// time is up.
func (s *Store) Create(ctx context.Context, r store.Record) (uint64, error) {
	ctx, cancel := natsconn.Bound(ctx, s.cfg.WriteTimeout)
	defer cancel()
	for {
		revision, err := s.put(ctx, r, 0)
		if err == nil || errors.Is(err, store.ErrExists) {
			return revision, err
		}
		if problem := s.cfg.Problem(); problem != nil || !natsconn.Passing(err) || ctx.Err() != nil {
			return 0, errors.Join(problem, err)
		}
		pause(ctx, 100*time.Millisecond)
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

// put writes the record if its last revision is the given one, 0 for none.
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
	s.tell(r)
	return revision, nil
}

// write is put at the server. The bucket's own Create does a second round trip to look for delete markers, of which
// there are none here.
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
	s.proof.Wrote(s.conn.JetStream())
	return ack.Sequence, nil
}

// isConflict reports whether a record has another revision than expected. A single server and a cluster say so by
// different codes (nats-server, server/errors.json: JSStreamWrongLastSequenceErrF, JSStreamWrongLastSequenceConstantErr).
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

// readPatience is how long a read is tried again while the bucket has no leader or the connection is away, unless its
// context says.
const readPatience = 5 * time.Second

// fetch asks the server for a record. In a cluster, a leader that was cut off goes on answering reads for some seconds,
// and does not have what its successor has stored. So that a record is missing is believed only where a write succeeds.
func (s *Store) fetch(ctx context.Context, id string) (store.Record, error) {
	ctx, cancel := natsconn.Bound(ctx, readPatience)
	defer cancel()
	for confirmed := s.cfg.Replicas < 2; ; {
		r, err := s.fetchOnce(ctx, id)
		if errors.Is(err, store.ErrNotFound) && !confirmed {
			if err = s.probe(ctx); err == nil {
				confirmed = true
				continue
			}
		}
		if err == nil || errors.Is(err, store.ErrNotFound) || !natsconn.Passing(err) || ctx.Err() != nil || s.cfg.Problem() != nil {
			return r, err
		}
		pause(ctx, 100*time.Millisecond)
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

// Probe implements store.Store. It writes a message beside the records that takes the place of the one before.
func (s *Store) Probe(ctx context.Context) error {
	if s.proof.Holds(s.conn.JetStream()) {
		return nil
	}
	return s.probe(ctx)
}

func (s *Store) probe(ctx context.Context) error {
	probe := &nats.Msg{Subject: s.probeSubject()}
	_, err := natsconn.Publish(ctx, s.conn.JetStream(), probe, "")
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		if err = s.open(ctx); err == nil {
			_, err = natsconn.Publish(ctx, s.conn.JetStream(), probe, "")
		}
	}
	if err != nil {
		return fmt.Errorf("write to the results: %w", err)
	}
	s.proof.Wrote(s.conn.JetStream())
	return nil
}

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, id string) (store.Record, error) {
	final := make(chan store.Record, 1)
	s.listen(id, final)
	defer s.unlisten(id, final)
	for {
		// The caller's time may be up already, and is no reason not to answer with what is known.
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

// pollAfter is how long Wait relies on being told.
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
