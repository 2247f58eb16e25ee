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

// Unfinished implements store.Store. It reads from memory, and asks the server only about records whose last write
// may or may not have succeeded.
func (s *Store) Unfinished(ctx context.Context) ([]store.Record, error) {
	for _, id := range s.known.unconfirmedIDs() {
		if err := s.refresh(ctx, id); err != nil {
			return nil, err
		}
	}
	return s.known.unfinished(), nil
}

// refresh reads a record from the server.
func (s *Store) refresh(ctx context.Context, id string) error {
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

// scan reads the records of earlier processes, and retries until it has them all or ctx ends. It runs in the
// background: 200,000 records take seconds.
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
	defer stopWatching(watcher)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return errors.New("read unfinished records: the watcher ended")
			case entry == nil: // end of the existing records
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

// stopWatching ends a watcher and reads what it has delivered by then: nats.go's delivering goroutine would otherwise
// wait for a reader forever.
func stopWatching(w jetstream.KeyWatcher) {
	_ = w.Stop() // fails if the connection is closed, which ends the watcher too
	for range w.Updates() {
	}
}

// final reports whether an entry is a final record, without decoding all of it. Most are.
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

// adopt adds a record found by a scan, unless the record was written since the scan began: then the scan's version
// may be outdated.
func (k *known) adopt(r store.Record, written time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, newer := k.writtenSince[r.ID]; newer || k.writtenSince == nil {
		return
	}
	k.records[r.ID] = knownRecord{r, written}
}

// scanning marks the start of a scan.
func (k *known) scanning() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.writtenSince == nil {
		k.writtenSince = map[string]struct{}{}
	}
}

// scanned marks the end of a scan.
func (k *known) scanned() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writtenSince = nil
}

// forget records that the server does not have the record.
func (k *known) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.touch(id)
	delete(k.records, id)
}

// unconfirmedIDs returns the IDs of records that must be read from the server.
func (k *known) unconfirmedIDs() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := make([]string, 0, len(k.unconfirmed))
	for id := range k.unconfirmed {
		ids = append(ids, id)
	}
	return ids
}

// markUnconfirmed records that the server's version may differ from the known one. The caller holds mu.
func (k *known) markUnconfirmed(id string) {
	k.touch(id)
	delete(k.records, id)
	k.unconfirmed[id] = time.Now()
}

// touch records that what is known of a record is newer than the result of a scan. The caller holds mu.
func (k *known) touch(id string) {
	delete(k.unconfirmed, id)
	if k.writtenSince != nil {
		k.writtenSince[id] = struct{}{}
	}
}
