package decode

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"unsafe"
	"weak"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
)

// TestKeepsNoFile checks that a decoder keeps no file alive, however decoding it ends.
func TestKeepsNoFile(t *testing.T) {
	t.Parallel()
	for _, file := range decodetest.Worst(1_000_000) {
		whole := file.Make()
		decode := func(d *Decoder, n, calls int) weak.Pointer[byte] {
			data := slices.Clone(whole[:n])
			_, _ = d.Decode(data, Options{MaxBytes: -1, MaxPixels: -1, MaxMemory: -1, Check: func() error {
				if calls--; calls < 0 {
					return errors.New("stopped")
				}
				return nil
			}})
			return weak.Make(unsafe.SliceData(data))
		}
		for name, end := range map[string]struct{ bytes, calls int }{
			"complete": {len(whole), 1 << 30}, "stopped": {len(whole), 1}, "truncated": {len(whole) / 2, 1 << 30},
		} {
			var d Decoder
			kept := decode(&d, end.bytes, end.calls)
			runtime.GC()
			if kept.Value() != nil {
				t.Errorf("%s, %s: the decoder keeps the file", file.Name, name)
			}
			runtime.KeepAlive(&d)
		}
	}
}
