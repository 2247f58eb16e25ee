package dispatch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"

	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// This file decides which results a client may see, and what of them.

// caller returns the client that sent a request. Without keys, every client may do everything.
func (d *Dispatcher) caller(ctx context.Context) access.Client {
	if d.cfg.Access == nil {
		return access.Client{Scopes: access.Admin}
	}
	c, _ := access.FromContext(ctx) // a client without scopes if a route required no key
	return c
}

// owns reports whether a client may read and cancel a request. A record without an owner was written before clients had
// keys, and is only for clients with scope admin. The exception is the record of a lost request of which only the ID is
// known: it tells nothing but that the request was lost, and whoever has the ID may learn that.
func owns(c access.Client, r store.Record) bool {
	switch {
	case c.Admin():
		return true
	case r.Owner == "":
		return r.Digest == ""
	}
	return r.Owner == c.Name
}

// shown returns what of a record a client may see: the addresses of replicas are only for clients with scope admin.
func (d *Dispatcher) shown(c access.Client, r store.Record) store.Record {
	if !c.Admin() {
		r.Replica = replicaName(d.store.Secret(), r.Replica)
	}
	return r
}

// shownEndpoints does the same for the state of the replicas. Problems have addresses in their texts.
func (d *Dispatcher) shownEndpoints(c access.Client, endpoints []forward.Endpoint) []forward.Endpoint {
	if c.Admin() {
		return endpoints
	}
	for i := range endpoints { // a copy: see forward.Pool.Endpoints
		e := &endpoints[i]
		e.URL = replicaName(d.store.Secret(), e.URL)
		if e.Problem != "" {
			e.Problem = "unhealthy"
		}
	}
	return endpoints
}

// replicaName returns a name that stands for the address of a replica, the same at every dispatcher, such as
// "replica-1f0c9a3e". An ordinary hash could be reversed by trying all addresses.
func replicaName(secret store.Secret, url string) string {
	if url == "" {
		return ""
	}
	sum := keyedHash(secret, "replica", url)
	return "replica-" + hex.EncodeToString(sum[:4])
}

// keyedID returns the request ID for an idempotency key of a client: a version 8 UUID (RFC 9562, section 5.8) of a hash
// with the secret of the store. All dispatchers agree on the ID without communication, and nobody else can derive it.
// Each client has its own keys.
//
// See docs/decisions/0098-ids-from-a-secret-beside-the-results.md.
func keyedID(secret store.Secret, owner, key string) string {
	sum := keyedHash(secret, "Idempotency-Key", owner+"\x00"+key) // names have no zero bytes
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// keyedHash returns the HMAC-SHA256 (RFC 2104) of a text for a purpose.
func keyedHash(secret store.Secret, purpose, text string) []byte {
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte(purpose + "\x00" + text))
	return h.Sum(nil)
}
