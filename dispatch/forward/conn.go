package forward

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// bodyBytes is how much of a body is read before it is written to the connection: most images are sent in one write.
const bodyBytes = 128 << 10

var bodyBuffers = sync.Pool{New: func() any { return new([bodyBytes]byte) }}

// conn is a connection to a replica, with or without TLS. net/http passes request bodies to ReadFrom; that of a TCP
// connection would copy them through a newly allocated 32 KiB buffer.
type conn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom.
func (c conn) ReadFrom(r io.Reader) (int64, error) {
	buf := bodyBuffers.Get().(*[bodyBytes]byte)
	defer bodyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, buf[:])
}

var dialer = net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}

// buffered wraps the connections of dial.
func buffered(dial tlsfiles.Dial) tlsfiles.Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn{c}, nil
	}
}
