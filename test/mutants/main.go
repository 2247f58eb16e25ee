// Command mutants measures which changes to the code the tests detect. It mutates one line at a time (a comparison, a
// constant, a condition, a deleted statement), runs the tests of the package with the mutated file as an overlay (`go
// test -overlay`, so no file of the tree changes), and reports which mutants no test detected. For speed it builds a
// package once, with all mutants in it, one of which an environment variable activates. Run it in the module's
// folder:
//
//	go run ./test/mutants ./autoscale ./autoscale/kube
//	go run ./test/mutants -n 100 -seed 7 -j 2 -skip sim/report ./autoscale/...
//	go run ./test/mutants -only 'kpa.go:6[0-9]$' ./autoscale
//	go run ./test/mutants -also dispatch/queue=./dispatch/queue/memqueue ./dispatch/queue
//
// A mutant on a line that no test runs survives without a trial. A mutant whose tests time out counts as killed.
// Mutants that cannot change the program's behavior are listed, with reasons, in the file given by -ignore.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1) //nolint:gocritic // the process ends: no signal is to be caught any more
	}
}

// options are the command line options.
type options struct {
	patterns   []string
	only, skip *regexp.Regexp
	also       alsoTests
	run        string
	timeout    time.Duration
	memory     int
	n          int
	seed       uint64
	workers    int
	ignore     string
	survivors  string
	least      float64
	uncovered  bool
	single     bool
	list       bool
	verbose    bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{also: alsoTests{}}
	f := flag.NewFlagSet("mutants", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: mutants [flags] package...")
		f.PrintDefaults()
	}
	only := f.String("only", "", "take only mutants whose file:line matches this `regexp`")
	skip := f.String("skip", "", "leave out mutants whose file:line matches this `regexp`")
	f.Var(o.also, "also", "`package=tests`: run these packages' tests too for mutants of package, a folder of the module; tests are\nseparated by commas, each may end in :regexp, which replaces -run; repeatable")
	f.StringVar(&o.run, "run", "", "run only tests that match this `regexp`")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "longest time for the tests of one package; shorter where they take much less unbroken")
	f.IntVar(&o.memory, "memory", 2048, "most `MiB` that the tests of one package may use (Linux)")
	f.IntVar(&o.n, "n", 0, "try a random sample of this size; 0 tries all")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the sample")
	f.IntVar(&o.workers, "j", 1, "mutants tried at the same time")
	f.StringVar(&o.ignore, "ignore", "", "`file` of mutants known to change nothing, with reasons")
	f.StringVar(&o.survivors, "survivors", "", "write survivors, or with -list all, to this `file`, in the format of -ignore")
	f.Float64Var(&o.least, "least", 0, "fail when a smaller `share` of the mutants is killed, in percent")
	f.BoolVar(&o.uncovered, "uncovered", false, "try mutants on lines that no test runs as well, for tests that start processes")
	f.BoolVar(&o.single, "single", false, "build each mutant alone, which is slow; else all of a package are built together where that can be")
	f.BoolVar(&o.list, "list", false, "list the mutants and end")
	f.BoolVar(&o.verbose, "v", false, "print killed mutants too")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.patterns = f.Args()
	switch {
	case len(o.patterns) == 0:
		return o, errors.New("name at least one package, such as ./autoscale")
	case o.workers < 1 || o.n < 0 || o.timeout <= 0:
		return o, errors.New("-j and -timeout must be positive, -n must not be negative")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if *skip == "" {
		*skip = "^$" // matches no file
	}
	if o.skip, err = regexp.Compile(*skip); err != nil {
		return o, fmt.Errorf("-skip: %w", err)
	}
	return o, nil
}

// alsoTests are additional test packages, by the package whose mutants they are run for.
type alsoTests map[string][]testSpec

// testSpec is a package as given to the go command, and a regexp of its tests to run; if run is empty, that of -run
// is used.
type testSpec struct{ pattern, run string }

func (a alsoTests) String() string { return fmt.Sprint(maps.Collect(maps.All(a))) }

// Set implements [flag.Value].
func (a alsoTests) Set(s string) error {
	pkg, list, ok := strings.Cut(s, "=")
	if !ok || pkg == "" || list == "" {
		return errors.New("want package=tests, such as autoscale=./autoscale/sim")
	}
	pkg = strings.TrimPrefix(pkg, "./")
	for spec := range strings.SplitSeq(list, ",") {
		pattern, run, _ := strings.Cut(spec, ":")
		a[pkg] = append(a[pkg], testSpec{pattern, run})
	}
	return nil
}
