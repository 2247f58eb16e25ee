package jsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// Unfinished implements store.Store. It answers from memory, and asks the server only about records whose last write
// may or may not have succeeded.
func (s *Store) Unfinished(ctx context.Context) ([]store.Record, error) {
	for _, id := range s.known.doubtful() {
		if err := s.ask(ctx, id); err != nil {
			return nil, err
		}
	}
	return s.known.unfinished(), nil
}

// ask notes what the server has of a record.
func (s *Store) ask(ctx context.Context, id string) error {
	defer s.known.writing(id)()
	r, err := s.fetch(ctx, id)
	switch {
	case err == nil:
		s.known.wrote(r)
	case errors.Is(err, store.ErrNotFound):
		s.known.forget(id)
	default:
		return err
	}
	return nil
}

// scan reads the records of earlier processes, and tries again until it has them all or ctx ends. It runs beside the
// store's other work: 200,000 records take seconds.
func (s *Store) scan(ctx context.Context) {
	s.known.scanning()
	defer s.known.scanned()
	for ctx.Err() == nil && s.scanOnce(ctx) != nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (s *Store) scanOnce(ctx context.Context) error {
	h, err := s.use(ctx)
	if err != nil {
		return fmt.Errorf("read unfinished records: %w", err)
	}
	watcher, err := h.bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read unfinished records: %w", err)
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return errors.New("read unfinished records: the watcher ended")
			case entry == nil: // all there were
				return nil
			case final(entry):
				continue
			}
			if r, err := decode(entry); err == nil {
				s.known.adopt(r, entry.Created())
			}
		}
	}
}

// final reports whether an entry is a final record, without reading all of it. Most are.
func final(entry jetstream.KeyValueEntry) bool {
	var r struct {
		Status resnet18cloud.Status `json:"status"`
	}
	return json.Unmarshal(entry.Value(), &r) == nil && r.Status.Final()
}

// unfinished returns all records.
func (k *known) unfinished() []store.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]store.Record, 0, len(k.records))
	for _, r := range k.records {
		if !k.expired(r) {
			list = append(list, r.Record)
		}
	}
	return list
}

// adopt notes a record that a scan has found, unless the record was written since the scan began: then what the scan
// found may be old.
func (k *known) adopt(r store.Record, written time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, newer := k.writtenSince[r.ID]; newer || k.writtenSince == nil {
		return
	}
	k.records[r.ID] = knownRecord{r, written}
}

// scanning notes the beginning of a scan.
func (k *known) scanning() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.writtenSince == nil {
		k.writtenSince = map[string]struct{}{}
	}
}

// scanned notes the end of the scan.
func (k *known) scanned() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writtenSince = nil
}

// forget notes that the server has no such record.
func (k *known) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.touch(id)
	delete(k.records, id)
}

// doubtful returns the ids of records that the server must be asked for.
func (k *known) doubtful() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := make([]string, 0, len(k.doubts))
	for id := range k.doubts {
		ids = append(ids, id)
	}
	return ids
}

// doubt notes that the server's record may not be the one that is known. The caller holds mu.
func (k *known) doubt(id string) {
	k.touch(id)
	delete(k.records, id)
	k.doubts[id] = time.Now()
}

// touch notes that what is known of a record is newer than what a scan finds. The caller holds mu.
func (k *known) touch(id string) {
	delete(k.doubts, id)
	if k.writtenSince != nil {
		k.writtenSince[id] = struct{}{}
	}
}
