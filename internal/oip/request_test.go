package oip

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"runtime"
	"testing"
)

// TestMemoryOfJSON checks that a request takes the memory that is held for it. It runs alone, so as to count no other's.
func TestMemoryOfJSON(t *testing.T) { //nolint:paralleltest // see above
	picture := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("xyz"), 1<<19))
	v2 := fmt.Appendf(nil, `{"inputs":[{"name":"image","shape":[2],"datatype":"BYTES","data":[%q,%q]}]}`, picture, picture)
	v1 := fmt.Appendf(nil, `{"instances":[{"b64":%q},{"image_bytes":{"b64":%q}}]}`, picture, picture)
	for name, test := range map[string]struct {
		body []byte
		read func() (pictures [][]byte, err error)
	}{
		"version 2": {v2, func() ([][]byte, error) {
			q, err := readJSON(v2, nil)
			return q.pictures, err
		}},
		"version 1": {v1, func() ([][]byte, error) { return readV1(v1) }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		pictures, err := test.read()
		runtime.ReadMemStats(&after)
		if err != nil || len(pictures) != 2 || len(pictures[1]) != 3<<19 {
			t.Fatalf("%s: %d pictures, %v", name, len(pictures), err)
		}
		if took, held := after.TotalAlloc-before.TotalAlloc, uint64(jsonMemory*len(test.body)); took > held {
			t.Errorf("%s: a body of %d bytes took %d, and %d are held", name, len(test.body), took, held)
		}
	}
	// Numbers of one digit make the largest tensor of a body.
	body := fmt.Appendf(nil, `{"inputs":[{"name":"tensor","shape":[2,3,512,512],"datatype":"FP32","data":[0%s]}]}`, bytes.Repeat([]byte(",1"), 2*3*512*512-1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	q, err := readJSON(body, nil)
	runtime.ReadMemStats(&after)
	if err != nil || len(q.pictures) != 2 {
		t.Fatalf("a tensor: %d pictures, %v", len(q.pictures), err)
	}
	if took, held := after.TotalAlloc-before.TotalAlloc, uint64(jsonMemory*len(body)); took > held+64<<10 { // memory comes in pages
		t.Errorf("a tensor of %d bytes took %d, and %d are held", len(body), took, held)
	}
}
