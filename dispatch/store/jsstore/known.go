package jsstore

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// known are the records of requests that have not ended, as this process has last written them. Nobody else writes, so
// they are what the server has, but for those that it has dropped for their age or for want of room: an update of such
// a one fails, and it is asked for at the server. Records of an earlier process, and those that have ended, are not
// here. There are as many as the queue holds.
type known struct {
	ttl  time.Duration
	seed maphash.Seed
	// writes are held while a record is being written, each for the ids that fall to it, so that answers of the server
	// are noted in its order.
	writes [64]sync.Mutex

	mu      sync.Mutex
	records map[string]knownRecord // guarded by mu: by id
}

type knownRecord struct {
	store.Record
	written time.Time
}

func newKnown(ttl time.Duration) *known {
	return &known{ttl: ttl, seed: maphash.MakeSeed(), records: map[string]knownRecord{}}
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
		delete(k.records, id)
	}
}
