package forward

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestPayload(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][3][]byte{
		"form":       {[]byte("head"), []byte("image"), []byte("tail")},
		"image only": {[]byte("image"), nil, nil},
		"no image":   {[]byte("head"), nil, []byte("tail")},
		"nothing":    {},
	} {
		want := bytes.Join(parts[:], nil)
		p := &payload{parts: parts}
		if p.size() != int64(len(want)) {
			t.Errorf("%s: size %d, want %d", name, p.size(), len(want))
		}
		for range 2 { // as if the transport retried a request
			if err := iotest.TestReader(p.reader(), want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestPayloadIsNotReadOnceClosed checks that an image's bytes are not accessed after the attempt has ended.
func TestPayloadIsNotReadOnceClosed(t *testing.T) {
	t.Parallel()
	p := &payload{parts: [3][]byte{[]byte("image")}}
	before := p.reader()
	if n, err := before.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	p.close()
	for _, r := range []io.Reader{before, p.reader()} {
		if n, err := r.Read(make([]byte, 2)); n != 0 || !errors.Is(err, errPayloadClosed) {
			t.Errorf("Read after close = %d, %v, want %v", n, err, errPayloadClosed)
		}
	}
}

func TestPayloadKnowsWhetherItWasSent(t *testing.T) {
	t.Parallel()
	p := &payload{parts: [3][]byte{[]byte("image")}}
	r := p.reader()
	if p.wasSent() {
		t.Error("sent before it was read")
	}
	if _, err := r.Read(make([]byte, 1)); err != nil || !p.wasSent() {
		t.Errorf("not sent after it was read: %v", err)
	}
}
