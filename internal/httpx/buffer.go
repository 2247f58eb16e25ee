package httpx

import "sync"

const (
	firstBytes  = 32 << 10  // of the first buffer of an upload
	pooledBytes = 256 << 10 // of the largest buffer that is kept for the next upload
)

// buffer is memory of an upload.
type buffer struct{ bytes []byte }

// pools keep buffers of the two sizes that nextSize begins with, which hold most images.
var pools = map[int]*sync.Pool{firstBytes: {}, pooledBytes: {}}

// newBuffer returns an empty buffer of exactly that capacity.
func newBuffer(size int) *buffer {
	if pool := pools[size]; pool != nil {
		if b, ok := pool.Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{make([]byte, 0, size)}
}

// free ends the use of the buffer. A nil buffer is fine.
func (b *buffer) free() {
	if b == nil {
		return
	}
	if pool := pools[cap(b.bytes)]; pool != nil {
		b.bytes = b.bytes[:0]
		pool.Put(b)
	}
}
