package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/resnet18cloud/resnet18cloud/internal/images"
)

// Prepare encodes images as bodies of requests before a run, so that the run does not spend time on it. It stops at
// maxBytes of bodies; the run then uses these images repeatedly. Prepare returns the files that it encoded, and the Open
// of a Config that returns their bodies.
func Prepare(ctx context.Context, files []string, encode func(image []byte) ([]byte, error), maxBytes int) ([]string, func(string) ([]byte, func(), error), error) {
	bodies := map[string][]byte{}
	var encoded []string
	total := 0
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		body, err := prepare(file, encode)
		if err != nil {
			return nil, nil, fmt.Errorf("prepare %s: %w", filepath.Base(file), err)
		}
		if total += len(body); total > maxBytes && len(encoded) > 0 {
			break
		}
		bodies[file], encoded = body, append(encoded, file)
	}
	return encoded, func(path string) ([]byte, func(), error) { return bodies[path], func() {}, nil }, nil
}

func prepare(file string, encode func([]byte) ([]byte, error)) ([]byte, error) {
	data, release, err := images.Map(file)
	if err != nil {
		return nil, err
	}
	defer release()
	return encode(data)
}

// Unique appends 16 unique bytes to each body that open returns, so that no cache has its result. Decoders ignore bytes
// after the end of an image. Bodies are copied, to memory that is used again after their release.
func Unique(open func(path string) (body []byte, release func(), err error)) func(string) ([]byte, func(), error) {
	run, n := rand.Uint64(), new(atomic.Uint64) // also differs between runs
	var copies sync.Pool                        // of *[]byte
	return func(path string) ([]byte, func(), error) {
		body, release, err := open(path)
		if err != nil {
			return nil, nil, err
		}
		defer release()
		own, _ := copies.Get().(*[]byte)
		if own == nil {
			own = new([]byte)
		}
		*own = append(slices.Grow((*own)[:0], len(body)+16), body...)
		*own = binary.LittleEndian.AppendUint64(*own, run)
		*own = binary.LittleEndian.AppendUint64(*own, n.Add(1))
		return *own, func() { copies.Put(own) }, nil
	}
}
