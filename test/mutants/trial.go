package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// outcome is the result for a mutant.
type outcome string

const (
	killed       outcome = "killed"
	timedOut     outcome = "timed out"
	survived     outcome = "survived"
	uncovered    outcome = "uncovered" // survived, because no test runs its line
	notCompiling outcome = "not compiling"
	equivalent   outcome = "equivalent" // listed in the ignore file
)

// result is a mutant and its outcome.
type result struct {
	*mutant
	outcome outcome
}

// lab tries mutants.
type lab struct {
	options
	suites  map[*source][]*suite
	covered coverage
	dir     string    // for temporary files
	log     io.Writer // reports what slows the run down
}

// tryAll tries mutants package by package, several at a time, and sends each result immediately. It ends early with
// ctx or the first error.
func (l *lab) tryAll(ctx context.Context, pkgs []*source, mutants []*mutant, tell func(result)) error {
	for _, pkg := range pkgs {
		var compile []*mutant
		for _, m := range mutants {
			switch {
			case m.file.pkg != pkg:
			case ctx.Err() != nil:
				return ctx.Err()
			case !l.uncovered && l.covered.missed(m):
				if m.compiles() {
					tell(result{m, uncovered})
				} else {
					tell(result{m, notCompiling})
				}
			default:
				compile = append(compile, m)
			}
		}
		if err := l.tryPackage(ctx, pkg, compile, tell); err != nil {
			return err
		}
	}
	return nil
}

// tryPackage tries mutants of one package.
func (l *lab) tryPackage(ctx context.Context, pkg *source, mutants []*mutant, tell func(result)) error {
	if len(mutants) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp(l.dir, "package")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var many *binaries
	if !l.single && len(mutants) > 2 {
		if many, err = l.buildSchema(ctx, dir, pkg, mutants); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Fprintf(l.log, "%s: mutants are built one by one: %v\n", pkg.rel, err)
			many = nil
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next, results := make(chan *mutant), make(chan result)
	var workers sync.WaitGroup
	for worker := range l.workers {
		workers.Go(func() {
			for m := range next {
				o, err := l.try(ctx, filepath.Join(dir, fmt.Sprint("worker", worker)), many, m)
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

// binaries are the test binaries of a package with a schema of it.
type binaries struct {
	*schema
	paths map[*suite]string
}

// buildSchema builds all suites of a package with its mutants in it, and checks that they pass while none is active.
func (l *lab) buildSchema(ctx context.Context, dir string, pkg *source, mutants []*mutant) (*binaries, error) {
	s, err := newSchema(pkg, mutants)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{filepath.Join(filepath.Dir(pkg.files[0].path), switchFile): []byte(switchText(pkg.files[0].ast.Name.Name))}
	for path, text := range s.files {
		files[path] = text
	}
	overlay, err := writeOverlay(dir, files)
	if err != nil {
		return nil, err
	}
	b := &binaries{schema: s, paths: map[*suite]string{}}
	for i, t := range l.suites[pkg] {
		bin := filepath.Join(dir, fmt.Sprintf("schema%d.test", i))
		if err := t.build(ctx, bin, "-overlay="+overlay); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := t.test(ctx, bin, l.timeout, l.memory, 0); err != nil {
			return nil, fmt.Errorf("with none of them active tests fail: %w", err)
		}
		t.took = max(t.took, time.Since(start))
		b.paths[t] = bin
	}
	return b, nil
}

// try determines the outcome of a mutant, in a folder that no concurrent call uses.
func (l *lab) try(ctx context.Context, dir string, many *binaries, m *mutant) (outcome, error) {
	active := 0
	if many != nil {
		active = many.numbers[m]
	}
	overlay := ""
	if active == 0 {
		if !m.compiles() {
			return notCompiling, nil
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		var err error
		if overlay, err = writeOverlay(dir, map[string][]byte{m.file.path: m.apply()}); err != nil {
			return "", err
		}
	}
	for _, s := range l.suites[m.file.pkg] {
		bin := filepath.Join(dir, "broken.test")
		if active > 0 {
			bin = many.paths[s]
		} else if err := s.build(ctx, bin, "-overlay="+overlay); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return notCompiling, nil
		}
		err := s.test(ctx, bin, s.longest(l.timeout), l.memory, active)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil && active > 0 && !m.compiles(): // it compiles as a choice, for example an index out of range
			return notCompiling, nil
		case errors.Is(err, errTooLong):
			return timedOut, nil
		case err != nil:
			return killed, nil //nolint:nilerr // a test that fails is what we want to see
		}
	}
	return survived, nil
}

// writeOverlay writes files that replace those at other paths, and the list for the go command.
func writeOverlay(dir string, files map[string][]byte) (string, error) {
	replace := map[string]string{}
	for path, text := range files {
		laid := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(laid, text, 0o644); err != nil {
			return "", err
		}
		replace[path] = laid
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o644)
}
