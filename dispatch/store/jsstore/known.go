package jsstore

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// known are the records of requests that have not ended, about as many as the queue holds.
//
// With Policy.Exclusive they are kept as this process writes them, and as a scan at the start finds those of an earlier
// process. No other process writes, so they are what the server has, except for those that it has dropped because of
// their age or because it is full: an update of such a record fails, and the server is asked for it. Without Exclusive
// they are kept as the watcher and the scan report them, which may be late.
type known struct {
	ttl  time.Duration
	seed maphash.Seed
	// writes are held while a record is being written, each for the ids that fall to it, so that answers of the server
	// are noted in its order.
	writes [64]sync.Mutex

	mu      sync.Mutex
	records map[string]knownRecord // guarded by mu: by id
	// doubts are the ids of records whose last write may or may not have succeeded, and when it was. Guarded by mu.
	doubts map[string]time.Time
	// writtenSince are the ids of records that were written since the scan began; nil after the scan. Guarded by mu.
	writtenSince map[string]struct{}
}

type knownRecord struct {
	store.Record
	written time.Time
}

func newKnown(ttl time.Duration) *known {
	return &known{ttl: ttl, seed: maphash.MakeSeed(), records: map[string]knownRecord{},
		doubts: map[string]time.Time{}, writtenSince: map[string]struct{}{}}
}

// run forgets records that the server has forgotten until ctx ends.
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
		for id, since := range k.doubts {
			if time.Since(since) >= k.ttl {
				delete(k.doubts, id)
			}
		}
		k.mu.Unlock()
	}
}

func (k *known) expired(r knownRecord) bool { return time.Since(r.written) >= k.ttl }

// writing keeps others from writing the record until done is called.
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

// wrote notes what the server has now.
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

// failed notes that a record with the given last revision was not written, or perhaps was. Where the server has another
// revision than the one that is known here, or may have, it is to be asked.
func (k *known) failed(id string, last uint64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.records[id].Revision == last || !errors.Is(err, store.ErrExists) {
		k.doubt(id)
	}
}
