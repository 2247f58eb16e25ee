package tlsfiles

import (
	"crypto/tls"
	"net"
	"sync"
)

// maxRecordBytes is how much crypto/tls puts into one record (RFC 8446, section 5.1). It writes each with a system call
// of its own, and each wakes the receiver.
const maxRecordBytes = 16 << 10

// burst is a TLS connection that sends the records of one Write with one system call: an image of 100 KB takes seven.
type burst struct {
	*tls.Conn
	below *collector
}

// newBurst returns a client's connection over raw.
func newBurst(raw net.Conn, config *tls.Config) *burst {
	below := &collector{Conn: raw}
	return &burst{tls.Client(below, config), below}
}

// Write implements net.Conn.
func (b *burst) Write(p []byte) (int, error) {
	if len(p) <= maxRecordBytes {
		return b.Conn.Write(p)
	}
	b.below.collect()
	n, err := b.Conn.Write(p)
	if sent := b.below.send(); err == nil {
		err = sent
	}
	return n, err
}

// collector is the connection below TLS.
type collector struct {
	net.Conn

	mu      sync.Mutex
	writers int    // guarded by mu: number of Writes in progress whose records are collected
	records []byte // guarded by mu: collected ones
}

// pool has buffers for records: an image is often sent within one.
var pool = sync.Pool{New: func() any { return new([]byte) }}

// maxCollectedBytes is how much is collected before it is sent anyway.
const maxCollectedBytes = 256 << 10

// collect makes Write collect records until send is called.
func (c *collector) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writers++; c.writers == 1 {
		c.records = (*pool.Get().(*[]byte))[:0]
	}
}

// send sends what has been collected.
func (c *collector) send() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush()
	if c.writers--; c.writers == 0 {
		records := c.records
		c.records = nil
		pool.Put(&records)
	}
	return err
}

// flush sends what has been collected. The caller holds mu.
func (c *collector) flush() error {
	if len(c.records) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.records)
	c.records = c.records[:0]
	return err
}

// Write implements net.Conn.
func (c *collector) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.writers == 0 {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	defer c.mu.Unlock()
	if len(c.records)+len(p) > maxCollectedBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	c.records = append(c.records, p...)
	return len(p), nil
}
