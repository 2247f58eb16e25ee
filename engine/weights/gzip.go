package weights

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
)

// gunzip unpacks data if it is gzipped, else returns it. Broken check sums and files that unpack to more than
// MaxBytes are errors.
func gunzip(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	// The last four bytes say the unpacked size (RFC 1952, section 2.3.1). They may lie, so no more is
	// taken in advance than deflate can make: 1032 bytes of one.
	hint := int(binary.LittleEndian.Uint32(data[len(data)-4:]))
	var out bytes.Buffer
	out.Grow(min(hint, 1032*len(data), MaxBytes) + bytes.MinRead)
	n, err := io.Copy(&out, io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("gzip (is the file truncated?): %w", err)
	}
	if n > MaxBytes {
		return nil, fmt.Errorf("gzip: unpacks to more than %d bytes", MaxBytes)
	}
	return out.Bytes(), nil
}
