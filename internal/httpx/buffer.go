package httpx

import "sync"

const (
	firstBytes  = 32 << 10  // size of the first buffer of an upload
	pooledBytes = 256 << 10 // size of the largest buffer that is pooled
)

// buffer is the memory of an upload.
type buffer struct{ bytes []byte }

// pools have buffers of the first two sizes of nextSize, which fit most images.
var pools = map[int]*sync.Pool{firstBytes: {}, pooledBytes: {}}

// newBuffer returns an empty buffer of exactly the given capacity.
func newBuffer(size int) *buffer {
	if pool := pools[size]; pool != nil {
		if b, ok := pool.Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{make([]byte, 0, size)}
}

// free returns the buffer to its pool. b may be nil.
func (b *buffer) free() {
	if b == nil {
		return
	}
	if pool := pools[cap(b.bytes)]; pool != nil {
		b.bytes = b.bytes[:0]
		pool.Put(b)
	}
}
