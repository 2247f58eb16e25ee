package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// run finds mutants, tries them, and reports, as the options say.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	known, err := readIgnored(o.ignore)
	if err != nil {
		return err
	}
	_, pkgs, err := load(ctx, o.patterns)
	if err != nil {
		return err
	}
	var all []*mutant
	for _, s := range pkgs {
		for _, file := range s.files {
			all = append(all, find(file)...)
		}
	}
	for _, k := range known.unknown(all) {
		fmt.Fprintf(stderr, "%s: no such mutant any more: %s: %s: %s\n", o.ignore, k.file, k.source, k.change)
	}
	var r report
	var mutants []*mutant
	for _, m := range all {
		switch {
		case !o.only.MatchString(m.at()) || o.skip.MatchString(m.at()):
		case known[m.key()] != "":
			r.add(result{m, equivalent})
		default:
			mutants = append(mutants, m)
		}
	}
	mutants = sample(mutants, o.n, o.seed)
	if o.list {
		for _, m := range mutants {
			fmt.Fprintf(stdout, "%s: %s\n", m.at(), m.change)
		}
		return writeSurvivors(o.survivors, mutants)
	}

	l := &lab{options: o, log: stderr}
	if l.suites, err = suites(ctx, pkgs, o); err != nil {
		return err
	}
	if l.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return err
	}
	defer os.RemoveAll(l.dir)
	if l.covered, err = unbroken(ctx, l.suites, o, l.dir); err != nil {
		return err
	}
	tried := 0
	err = l.tryAll(ctx, pkgs, mutants, func(res result) {
		tried++
		r.add(res)
		if o.verbose || res.outcome == survived || res.outcome == uncovered {
			fmt.Fprintf(stdout, "%s: %s: %s\n", res.at(), res.outcome, res.change)
		}
		if tried%50 == 0 {
			fmt.Fprintf(stderr, "%d of %d tried, %.1f %% killed\n", tried, len(mutants), share(r.total()))
		}
	})
	if err != nil {
		return err
	}
	if err := r.write(stdout); err != nil {
		return err
	}
	if err := writeSurvivors(o.survivors, r.sortedSurvivors()); err != nil {
		return err
	}
	if got := share(r.total()); got < o.least {
		return fmt.Errorf("%.1f %% of the mutants are killed, want %g %%", got, o.least)
	}
	return nil
}

// sample selects n of the mutants at random, in their order; all if n is 0.
func sample(mutants []*mutant, n int, seed uint64) []*mutant {
	if n == 0 || n >= len(mutants) {
		return mutants
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	// Each is selected with the remaining probability, so that exactly n are.
	var taken []*mutant
	for i, m := range mutants {
		if rng.IntN(len(mutants)-i) < n-len(taken) {
			taken = append(taken, m)
		}
	}
	return taken
}
