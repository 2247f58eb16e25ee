package forward

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// bodyBytes is what a connection to a replica reads of a body before it writes: most images leave in one write.
const bodyBytes = 128 << 10

var bodyBuffers = sync.Pool{New: func() any { return new([bodyBytes]byte) }}

// conn is a connection to a replica. net/http hands request bodies to ReadFrom; that of a TCP connection would copy them
// through 32 KiB, newly allocated.
type conn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom.
func (c conn) ReadFrom(r io.Reader) (int64, error) {
	buf := bodyBuffers.Get().(*[bodyBytes]byte)
	defer bodyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, buf[:])
}

var dialer = net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}
