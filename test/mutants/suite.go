package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// suite is the tests of one package, or some of them.
type suite struct {
	path, dir string
	run       string        // regexp; empty means all
	took      time.Duration // without a mutant
}

// suites returns the tests of each source: its own and those added by the command line.
func suites(ctx context.Context, pkgs []*source, o options) (map[*source][]*suite, error) {
	known := map[string]*suite{} // each suite once, however many sources it tests
	find := func(pattern, run string) ([]*suite, error) {
		out, err := goCommand(ctx, "list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles", pattern)
		if err != nil {
			return nil, err
		}
		var found []*suite
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				ImportPath, Dir           string
				TestGoFiles, XTestGoFiles []string
			}
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				return found, nil
			} else if err != nil {
				return nil, err
			}
			if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
				continue
			}
			id := p.ImportPath + ":" + run
			if known[id] == nil {
				known[id] = &suite{path: p.ImportPath, dir: p.Dir, run: run}
			}
			found = append(found, known[id])
		}
	}
	unused := maps.Clone(o.also)
	all := map[*source][]*suite{}
	for _, s := range pkgs {
		specs := append([]testSpec{{pattern: s.path}}, o.also[s.rel]...)
		delete(unused, s.rel)
		for _, spec := range specs {
			run := spec.run
			if run == "" {
				run = o.run
			}
			found, err := find(spec.pattern, run)
			if err != nil {
				return nil, err
			}
			all[s] = append(all[s], found...)
		}
	}
	for rel := range unused {
		return nil, fmt.Errorf("-also names %s, which is not among the packages to break", rel)
	}
	return all, nil
}

// build builds the test binary. With an overlay file some of the tree's files are replaced.
func (s *suite) build(ctx context.Context, bin string, flags ...string) error {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", bin}, flags...)
	_, err := goCommand(ctx, append(args, s.path)...)
	return err
}

var (
	errTooLong = errors.New("the tests take too long")
	errTooBig  = errors.New("the tests take too much memory")
)

// test runs the binary, with one mutant of a schema active or none. It returns nil if all tests pass.
func (s *suite) test(ctx context.Context, bin string, timeout time.Duration, memory, active int, flags ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	args := append([]string{"-test.short", "-test.failfast", "-test.paniconexit0", "-test.timeout=" + (timeout + 5*time.Second).String(), "-test.run=" + s.run}, flags...)
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), activeVariable+"="+strconv.Itoa(active))
	cmd.Stdout, cmd.Stderr = &limited{b: &output}, &limited{b: &output}
	cmd.WaitDelay = 2 * time.Second
	inGroup(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	watched := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(watched)
		watch(cmd.Process.Pid, timeout, memory, ended, cancel)
	}()
	err := cmd.Wait()
	close(ended)
	<-watched
	endGroup(cmd)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, output.Bytes())
	}
	return nil
}

// watch kills the process, by its context, if it uses too much time or memory.
func watch(pid int, timeout time.Duration, memory int, ended <-chan struct{}, end func(error)) {
	late := time.NewTimer(timeout)
	defer late.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return
		case <-late.C:
			end(errTooLong)
			return
		case <-look.C:
			if residentMiB(pid) > memory {
				end(errTooBig)
				return
			}
		}
	}
}

// residentMiB returns the resident memory of a process; 0 if there is no /proc.
func residentMiB(pid int) int {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize() >> 20
}

// limited keeps the first 64 KiB of a test's output.
type limited struct{ b *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := 64<<10 - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// unbroken runs each suite once without a mutant. It records how long it takes, and returns which code the tests run.
func unbroken(ctx context.Context, all map[*source][]*suite, o options, dir string) (coverage, error) {
	covered := map[*suite][]string{}
	for s, list := range all {
		for _, t := range list {
			covered[t] = append(covered[t], s.path)
		}
	}
	ordered := slices.SortedFunc(maps.Keys(covered), func(a, b *suite) int { return strings.Compare(a.path+a.run, b.path+b.run) })
	c := coverage{}
	bin, profile := filepath.Join(dir, "unbroken.test"), filepath.Join(dir, "profile")
	for _, t := range ordered {
		if err := t.build(ctx, bin, "-cover", "-coverpkg="+strings.Join(covered[t], ",")); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := t.test(ctx, bin, o.timeout, o.memory, 0, "-test.coverprofile="+profile); err != nil {
			return nil, fmt.Errorf("the tests of %s do not pass without a mutant: %w", t.path, err)
		}
		t.took = time.Since(start)
		f, err := os.Open(profile)
		if err != nil {
			return nil, err
		}
		err = c.read(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read the coverage of %s: %w", t.path, err)
		}
	}
	return c, nil
}

// longest returns the time limit of the suite's tests with a mutant.
func (s *suite) longest(limit time.Duration) time.Duration {
	return min(limit, 10*time.Second+10*s.took)
}
