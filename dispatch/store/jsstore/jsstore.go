// Package jsstore keeps records in a NATS key-value bucket, one JSON value per request, so that every
// dispatcher on the same NATS answers for every id. The one thing to know: the bucket drops its oldest
// values when its bytes are used up, where an ordinary one would refuse new ones, because a result that
// cannot be stored is a request that cannot end.
package jsstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

var _ store.Store = (*Store)(nil)

// Config says how much a store keeps, and for how long.
type Config struct {
	TTL      time.Duration // after a record's last change
	MaxBytes int64         // of all records; the oldest go first
	Replicas int           // NATS servers that keep each record: 1, 3 or 5
	// Exclusive says that nobody else writes to the bucket. Records of requests that have not ended are then read from
	// this process's memory, and who waits for one is told by who ends it: half of the trips to the server are saved.
	Exclusive bool
}

const (
	bucketName = "RESNET18_RESULTS"
	streamName = "KV_" + bucketName // as nats.go names a bucket's stream
	subjects   = "$KV." + bucketName + "."
	// pollInterval is how often Wait looks for itself, in case the watcher has missed something while the
	// connection was away.
	pollInterval = time.Second
)

// Store is a store.Store on JetStream. Make it with [New].
type Store struct {
	js     jetstream.JetStream
	cfg    Config
	ready  chan struct{}
	bucket jetstream.KeyValue
	stream jetstream.Stream
	known  *known

	mu      sync.Mutex
	waiters map[string]map[chan store.Record]struct{} // guarded by mu: by id
}

// New makes a store on the connection that js stands for. It does nothing until Run.
func New(js jetstream.JetStream, cfg Config) *Store {
	return &Store{js: js, cfg: cfg, ready: make(chan struct{}), known: newKnown(cfg.TTL),
		waiters: map[string]map[chan store.Record]struct{}{}}
}

// Run implements store.Store.
func (s *Store) Run(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return fmt.Errorf("open results: %w", err)
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	parts.Go(func() { s.known.run(ctx) })
	if s.cfg.Exclusive {
		parts.Go(func() { s.scan(ctx) })
		close(s.ready)
		<-ctx.Done()
		return nil
	}
	watcher, err := s.bucket.WatchAll(ctx, jetstream.UpdatesOnly(), jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch results: %w", err)
	}
	defer func() { _ = watcher.Stop() }()
	parts.Go(func() { s.scan(ctx) }) // what changes from now on the watcher sees
	close(s.ready)
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watcher.Updates():
			if !open {
				if ctx.Err() != nil {
					return nil
				}
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

// Ready implements store.Store.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// open makes the bucket's stream as nats.go would, but for what it discards.
func (s *Store) open(ctx context.Context) error {
	var err error
	s.stream, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:              streamName,
		Description:       "what became of the images that resnet18cloud accepted",
		Subjects:          []string{subjects + ">"},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardOld,
		MaxAge:            s.cfg.TTL,
		MaxBytes:          s.cfg.MaxBytes,
		Storage:           jetstream.FileStorage,
		Replicas:          s.cfg.Replicas,
		Duplicates:        min(2*time.Minute, s.cfg.TTL),
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       true,
	})
	if err != nil {
		return fmt.Errorf("create stream %s: %w", streamName, err)
	}
	if s.bucket, err = s.js.KeyValue(ctx, bucketName); err != nil {
		return fmt.Errorf("open bucket %s: %w", bucketName, err)
	}
	return nil
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

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, r store.Record) (uint64, error) {
	return s.put(ctx, r, 0)
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
	if !s.cfg.Exclusive {
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
	revision, err := s.bucket.Update(ctx, r.ID, data, last)
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok && apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return 0, store.ErrExists
	}
	if err != nil {
		return 0, fmt.Errorf("store record %s: %w", r.ID, err)
	}
	return revision, nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, id string) (store.Record, error) {
	if resnet18cloud.CheckID(id) != nil {
		return store.Record{}, store.ErrNotFound
	}
	if s.cfg.Exclusive {
		if r, ok := s.known.get(id); ok {
			return r, nil
		}
	}
	return s.fetch(ctx, id)
}

// fetch asks the server for a record.
func (s *Store) fetch(ctx context.Context, id string) (store.Record, error) {
	entry, err := s.bucket.Get(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return store.Record{}, store.ErrNotFound
	case err != nil:
		return store.Record{}, fmt.Errorf("get record %s: %w", id, err)
	}
	return decode(entry)
}

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, id string) (store.Record, error) {
	final := make(chan store.Record, 1)
	s.listen(id, final)
	defer s.unlisten(id, final)
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		// The caller's time may be up already, and is no reason not to answer with what is known.
		r, err := s.Get(context.WithoutCancel(ctx), id)
		if err != nil || r.Status.Final() || ctx.Err() != nil {
			return r, err
		}
		select {
		case r := <-final:
			return r, nil
		case <-poll.C:
		case <-ctx.Done():
		}
	}
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

// Recent implements store.Store. Of the last 8n changes it returns the n last records, which may be fewer
// when single records changed often.
func (s *Store) Recent(ctx context.Context, n int) ([]store.Record, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for results: %w", err)
	}
	last := info.State.LastSeq
	if info.State.Msgs == 0 || n <= 0 {
		return nil, nil
	}
	consumer, err := s.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   max(1, last-min(last-1, uint64(8*n))),
	})
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	batch, err := consumer.FetchNoWait(8 * n)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	var records []store.Record
	for msg := range batch.Messages() {
		var r store.Record
		meta, err := msg.Metadata()
		if err == nil {
			err = json.Unmarshal(msg.Data(), &r)
		}
		if err != nil {
			return nil, fmt.Errorf("read results: %w", err)
		}
		r.Revision = meta.Sequence.Stream
		records = append(records, r)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
		return nil, fmt.Errorf("read results: %w", err)
	}
	slices.SortFunc(records, func(a, b store.Record) int { return cmp.Compare(b.Revision, a.Revision) })
	return records[:min(n, len(records))], nil
}

// Count implements store.Store.
func (s *Store) Count(ctx context.Context) (int, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for results: %w", err)
	}
	return int(info.State.Msgs), nil
}
