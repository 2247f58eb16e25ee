// Package memstore implements a store in memory, for tests and for runs whose results need not survive the process.
package memstore

import (
	"container/list"
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

var _ store.Store = (*Store)(nil)

// Store implements store.Store in memory. Create it with [New].
type Store struct {
	ttl    time.Duration
	limit  int
	secret store.Secret
	ready  chan struct{}

	mu       sync.Mutex
	revision uint64
	byID     map[string]*list.Element
	byAge    *list.List // of *entry, most recently changed first
}

type entry struct {
	record  store.Record
	changed time.Time
	updates chan struct{} // closed on the next change
}

// New creates a store that drops records ttl after their last change, and the oldest ones beyond limit records.
func New(ttl time.Duration, limit int) *Store {
	s := &Store{ttl: ttl, limit: limit, ready: make(chan struct{}),
		byID: map[string]*list.Element{}, byAge: list.New()}
	_, _ = rand.Read(s.secret[:]) // never fails
	return s
}

// Run waits until ctx ends. Old records are dropped when new ones are added.
func (s *Store) Run(ctx context.Context) error {
	close(s.ready)
	<-ctx.Done()
	return nil
}

// Ready implements store.Store.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// Create implements store.Store.
func (s *Store) Create(_ context.Context, r store.Record) (uint64, error) {
	if err := resnet18cloud.CheckID(r.ID); err != nil {
		return 0, fmt.Errorf("create record: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if s.byID[r.ID] != nil {
		return 0, store.ErrExists
	}
	s.revision++
	r.Revision = s.revision
	s.byID[r.ID] = s.byAge.PushFront(&entry{record: r, changed: time.Now(), updates: make(chan struct{})})
	s.expire()
	return r.Revision, nil
}

// expire drops records that are too old or too many. The caller holds mu.
func (s *Store) expire() {
	for oldest := s.byAge.Back(); oldest != nil; oldest = s.byAge.Back() {
		e := oldest.Value.(*entry)
		if s.byAge.Len() <= s.limit && time.Since(e.changed) < s.ttl {
			return
		}
		s.byAge.Remove(oldest)
		delete(s.byID, e.record.ID)
		close(e.updates)
	}
}

// Get implements store.Store.
func (s *Store) Get(_ context.Context, id string) (store.Record, error) {
	r, _, err := s.get(id)
	return r, err
}

func (s *Store) get(id string) (store.Record, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	el := s.byID[id]
	if el == nil {
		return store.Record{}, nil, store.ErrNotFound
	}
	e := el.Value.(*entry)
	return e.record, e.updates, nil
}

// Update implements store.Store.
func (s *Store) Update(_ context.Context, r store.Record) (uint64, error) {
	if err := resnet18cloud.CheckID(r.ID); err != nil {
		return 0, fmt.Errorf("update record: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	el := s.byID[r.ID]
	if el == nil || el.Value.(*entry).record.Revision != r.Revision {
		return 0, store.ErrConflict
	}
	e := el.Value.(*entry)
	s.revision++
	r.Revision = s.revision
	e.record, e.changed = r, time.Now()
	close(e.updates)
	e.updates = make(chan struct{})
	s.byAge.MoveToFront(el)
	return r.Revision, nil
}

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, id string) (store.Record, error) {
	for {
		r, updates, err := s.get(id)
		if err != nil || r.Status.Final() || ctx.Err() != nil {
			return r, err
		}
		select {
		case <-updates:
		case <-ctx.Done():
		}
	}
}

// Recent implements store.Store.
func (s *Store) Recent(_ context.Context, n int) ([]store.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	var recent []store.Record
	for el := s.byAge.Front(); el != nil && len(recent) < n; el = el.Next() {
		recent = append(recent, el.Value.(*entry).record)
	}
	return recent, nil
}

// Unfinished implements store.Store.
func (s *Store) Unfinished(context.Context) ([]store.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	var unfinished []store.Record
	for el := s.byAge.Front(); el != nil; el = el.Next() {
		if r := el.Value.(*entry).record; !r.Status.Final() {
			unfinished = append(unfinished, r)
		}
	}
	return unfinished, nil
}

// Count implements store.Store.
func (s *Store) Count(context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return s.byAge.Len(), nil
}

// Secret implements store.Store.
func (s *Store) Secret() store.Secret { return s.secret }

// Probe implements store.Store. Memory always accepts writes.
func (s *Store) Probe(context.Context) error { return nil }
