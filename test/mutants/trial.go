package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// outcome is what became of a mutant.
type outcome string

const (
	killed       outcome = "killed"
	timedOut     outcome = "timed out"
	survived     outcome = "survived"
	uncovered    outcome = "uncovered" // survived, as no test runs its line
	notCompiling outcome = "not compiling"
	equivalent   outcome = "equivalent" // by the ignore file
)

// lab tries mutants.
type lab struct {
	options
	suites  map[*source][]*suite
	covered coverage
	dir     string // for files of ours
}

// try finds out what becomes of a mutant. worker numbers the calls that run at the same time.
func (l *lab) try(ctx context.Context, worker int, m *mutant) (outcome, error) {
	if !l.uncovered && l.covered.missed(m) {
		if !m.compiles() {
			return notCompiling, nil
		}
		return uncovered, nil
	}
	if !m.compiles() {
		return notCompiling, nil
	}
	dir := filepath.Join(l.dir, fmt.Sprint("worker", worker))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	overlay, err := writeOverlay(dir, m)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "broken.test")
	for _, s := range l.suites[m.file.pkg] {
		if err := s.build(ctx, bin, "-overlay="+overlay); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return notCompiling, nil
		}
		err := s.test(ctx, bin, s.longest(l.timeout), l.memory)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.Is(err, errTooLong):
			return timedOut, nil
		case err != nil:
			return killed, nil
		}
	}
	return survived, nil
}

// writeOverlay writes the broken file, and the file that tells the go command to take it for the real one.
func writeOverlay(dir string, m *mutant) (string, error) {
	broken := filepath.Join(dir, filepath.Base(m.file.path))
	if err := os.WriteFile(broken, m.apply(), 0o644); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {m.file.path: broken}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o644)
}

// result is a mutant and what became of it.
type result struct {
	*mutant
	outcome outcome
}

// tryAll tries mutants, some at the same time, and tells each result as it comes. It ends early with ctx or the first
// error.
func (l *lab) tryAll(ctx context.Context, mutants []*mutant, tell func(result)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan *mutant)
	results := make(chan result)
	var workers sync.WaitGroup
	for worker := range l.workers {
		workers.Go(func() {
			for m := range next {
				o, err := l.try(ctx, worker, m)
				if err != nil {
					cancel(err)
					return
				}
				results <- result{m, o}
			}
		})
	}
	go func() {
		defer close(results)
		defer workers.Wait()
		defer close(next)
		for _, m := range mutants {
			select {
			case next <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	for r := range results {
		tell(r)
	}
	return context.Cause(ctx)
}
