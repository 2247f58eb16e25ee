package load

import (
	"context"
	"fmt"
	"path/filepath"
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
