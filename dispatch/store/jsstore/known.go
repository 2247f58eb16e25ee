package jsstore

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// known has the records of requests that have not ended, about as many as the queue holds.
//
// With Policy.Exclusive it consists of the records that this process writes, and those of an earlier process that a
// scan finds at the start. No other process writes, so they match the server's records, except for those that the
// server has dropped because of their age or because it is full: an update of such a record fails, and the record is
// then read from the server. Without Exclusive it consists of the records that the watcher and the scan report,
// possibly with a delay.
type known struct {
	ttl  time.Duration
	seed maphash.Seed
	// writes are locked while a record is being written, each for a share of the IDs, so that responses of the server
	// are applied in order.
	writes [64]sync.Mutex

	mu      sync.Mutex
	records map[string]knownRecord // guarded by mu: by ID
	// unconfirmed has the IDs of records whose last write may or may not have succeeded, and its time. Guarded by mu.
	unconfirmed map[string]time.Time
	// writtenSince has the IDs of records written since the scan began; nil after the scan. Guarded by mu.
	writtenSince map[string]struct{}
}

type knownRecord struct {
	store.Record
	written time.Time
}

func newKnown(ttl time.Duration) *known {
	return &known{ttl: ttl, seed: maphash.MakeSeed(), records: map[string]knownRecord{},
		unconfirmed: map[string]time.Time{}, writtenSince: map[string]struct{}{}}
}

// run removes expired records until ctx ends.
func (k *known) run(ctx context.Context) {
	look := time.NewTicker(max(k.ttl/8, time.Millisecond))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		k.mu.Lock()
		for id, r := range k.records {
			if k.expired(r) {
				delete(k.records, id)
			}
		}
		for id, since := range k.unconfirmed {
			if time.Since(since) >= k.ttl {
				delete(k.unconfirmed, id)
			}
		}
		k.mu.Unlock()
	}
}

func (k *known) expired(r knownRecord) bool { return time.Since(r.written) >= k.ttl }

// writing prevents other writes of the record until done is called.
func (k *known) writing(id string) (done func()) {
	m := &k.writes[maphash.String(k.seed, id)%uint64(len(k.writes))]
	m.Lock()
	return m.Unlock
}

// get returns a record that has not ended.
func (k *known) get(id string) (store.Record, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.records[id]
	return r.Record, ok && !k.expired(r)
}

// wrote records the server's current version of a record.
func (k *known) wrote(r store.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.touch(r.ID)
	if r.Status.Final() {
		delete(k.records, r.ID)
		return
	}
	k.records[r.ID] = knownRecord{r, time.Now()}
}

// failed records that writing a record with the given last revision failed, or may have failed. If the server's
// revision may differ from the known one, the record must be read from the server.
func (k *known) failed(id string, last uint64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.records[id].Revision == last || !errors.Is(err, store.ErrExists) {
		k.markUnconfirmed(id)
	}
}
