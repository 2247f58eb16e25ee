// Command gotest runs go test with the given arguments, prints what go test prints, and then which tests were
// skipped, and why: a suite that skips what it cannot run passes everywhere, and may prove little.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	os.Exit(status)
}

func run(ctx context.Context, args []string) (status int, err error) {
	cmd := exec.CommandContext(ctx, cmp.Or(os.Getenv("GO"), "go"), append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	s := newSummary(os.Stdout)
	err = errors.Join(s.read(out), cmd.Wait())
	s.close()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// event is a line of go test -json: see go doc test2json.
type event struct{ Action, Package, Test, Output string }

// test is one test, or a package where its name is empty.
type test struct{ pkg, name string }

// summary prints results as they come, and counts.
type summary struct {
	w              io.Writer
	output         map[test][]string // of tests that have not ended
	skipped        map[string][]test // by reason
	passed, failed int
}

func newSummary(w io.Writer) *summary {
	return &summary{w: w, output: map[test][]string{}, skipped: map[string][]test{}}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			s.take(e)
		} else {
			fmt.Fprint(s.w, line) // the go command's own words, which are not JSON
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) take(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.w, e.Output)
	case "output":
		switch {
		case strings.HasPrefix(e.Output, "=== "):
		case e.Test != "":
			s.output[t] = append(s.output[t], e.Output)
		case e.Output != "PASS\n":
			fmt.Fprint(s.w, e.Output)
		}
	case "pass", "skip", "fail":
		s.end(t, e.Action)
	}
}

// end takes the end of a test or a package.
func (s *summary) end(t test, how string) {
	switch {
	case t.name == "" && how == "fail":
		// Tests that were running when the process died have no end of their own.
		for _, left := range slices.SortedFunc(maps.Keys(s.output), compare) {
			if left.pkg == t.pkg {
				s.end(left, how)
			}
		}
	case t.name == "":
	case how == "pass":
		s.passed++
	case how == "skip":
		why := reason(s.output[t])
		s.skipped[why] = append(s.skipped[why], t)
	case how == "fail":
		s.failed++
		fmt.Fprint(s.w, strings.Join(s.output[t], ""))
	}
	delete(s.output, t)
}

func compare(a, b test) int {
	return cmp.Or(strings.Compare(a.pkg, b.pkg), strings.Compare(a.name, b.name))
}

// place is where a message comes from.
var place = regexp.MustCompile(`^\s*\w+\.go:\d+: `)

// reason is the message with which a test was skipped.
func reason(output []string) string {
	var words []string
	for _, line := range output {
		if !strings.Contains(line, "--- SKIP") {
			words = append(words, strings.TrimSpace(place.ReplaceAllString(line, "")))
		}
	}
	return cmp.Or(strings.Join(words, " "), "no reason given")
}

// close prints the skipped tests and the numbers.
func (s *summary) close() {
	total := 0
	for _, why := range slices.Sorted(maps.Keys(s.skipped)) {
		tests := s.skipped[why]
		total += len(tests)
		fmt.Fprintf(s.w, "skipped: %s\n", why)
		slices.SortFunc(tests, compare)
		for _, t := range tests {
			fmt.Fprintf(s.w, "  %s %s\n", t.pkg, t.name)
		}
	}
	fmt.Fprintf(s.w, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, total)
}
