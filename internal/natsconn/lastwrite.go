package natsconn

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// recentWrite is how long a write shows that a stream accepts writes.
const recentWrite = 900 * time.Millisecond

// LastWrite is the last successful write to a stream. The zero value means none. It is safe for concurrent use.
type LastWrite struct {
	at         atomic.Int64  // nanoseconds since 1970
	reconnects atomic.Uint64 // of the connection at that time
}

// Record records that the stream accepted a message over the connection of js.
func (p *LastWrite) Record(js jetstream.JetStream) {
	p.reconnects.Store(js.Conn().Stats().Reconnects)
	p.at.Store(time.Now().UnixNano())
}

// Recent reports whether the stream accepted a message within the last second over the same connection. After a
// reconnect the server may have lost the stream.
func (p *LastWrite) Recent(js jetstream.JetStream) bool {
	return time.Since(time.Unix(0, p.at.Load())) < recentWrite && p.reconnects.Load() == js.Conn().Stats().Reconnects
}
