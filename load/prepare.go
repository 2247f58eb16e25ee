package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
)

// Prepare turns images into the bodies of requests before a run, so that making them costs no time in it. It
// stops at maxBytes of bodies; the run then sends those again and again. It returns
// the files it took, and the Open of a Config that gives their bodies.
func Prepare(ctx context.Context, files []string, encode func(image []byte) ([]byte, error), maxBytes int) ([]string, func(string) ([]byte, func(), error), error) {
	bodies := map[string][]byte{}
	var taken []string
	total := 0
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		body, err := prepare(file, encode)
		if err != nil {
			return nil, nil, fmt.Errorf("prepare %s: %w", filepath.Base(file), err)
		}
		if total += len(body); total > maxBytes && len(taken) > 0 {
			break
		}
		bodies[file], taken = body, append(taken, file)
	}
	return taken, func(path string) ([]byte, func(), error) { return bodies[path], func() {}, nil }, nil
}

func prepare(file string, encode func([]byte) ([]byte, error)) ([]byte, error) {
	data, release, err := Map(file)
	if err != nil {
		return nil, err
	}
	defer release()
	return encode(data)
}

// Unique makes each body that open gives another one, so that no cache knows it: 16 bytes follow the picture, where
// decoders do not look. Bodies are copied.
func Unique(open func(path string) (body []byte, release func(), err error)) func(string) ([]byte, func(), error) {
	run, n := rand.Uint64(), new(atomic.Uint64) // unlike other runs too
	return func(path string) ([]byte, func(), error) {
		body, release, err := open(path)
		if err != nil {
			return nil, nil, err
		}
		defer release()
		own := make([]byte, 0, len(body)+16)
		own = append(own, body...)
		own = binary.LittleEndian.AppendUint64(own, run)
		return binary.LittleEndian.AppendUint64(own, n.Add(1)), func() {}, nil
	}
}
