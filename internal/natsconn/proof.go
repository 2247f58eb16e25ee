package natsconn

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// proofLasts is how long a write proves that a stream takes others.
const proofLasts = 900 * time.Millisecond

// Proof remembers that a stream took a message. The zero value remembers none. Safe for concurrent use.
type Proof struct {
	at         atomic.Int64  // in nanoseconds since 1970
	reconnects atomic.Uint64 // of the connection by then
}

// Wrote notes that the stream took a message over the connection of js.
func (p *Proof) Wrote(js jetstream.JetStream) {
	p.reconnects.Store(js.Conn().Stats().Reconnects)
	p.at.Store(time.Now().UnixNano())
}

// Holds reports whether the stream took a message within the last second, and over the same connection: the
// server behind another may have lost the stream.
func (p *Proof) Holds(js jetstream.JetStream) bool {
	return time.Since(time.Unix(0, p.at.Load())) < proofLasts && p.reconnects.Load() == js.Conn().Stats().Reconnects
}
