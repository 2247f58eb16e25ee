package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// report has the number of results by package.
type report struct {
	packages map[string]map[outcome]int
	survived []*mutant
}

func (r *report) add(res result) {
	if r.packages == nil {
		r.packages = map[string]map[outcome]int{}
	}
	counts := r.packages[res.file.pkg.rel]
	if counts == nil {
		counts = map[outcome]int{}
		r.packages[res.file.pkg.rel] = counts
	}
	counts[res.outcome]++
	if res.outcome == survived || res.outcome == uncovered {
		r.survived = append(r.survived, res.mutant)
	}
}

// total returns the sum over all packages.
func (r *report) total() map[outcome]int {
	sum := map[outcome]int{}
	for _, counts := range r.packages {
		for o, n := range counts {
			sum[o] += n
		}
	}
	return sum
}

// share returns the percentage of mutants killed, of those that compile and are not known to be equivalent.
func share(counts map[outcome]int) float64 {
	dead := counts[killed] + counts[timedOut]
	all := dead + counts[survived] + counts[uncovered]
	if all == 0 {
		return 100
	}
	return 100 * float64(dead) / float64(all)
}

// write prints a table with a line for each package.
func (r *report) write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := []outcome{killed, timedOut, survived, uncovered, notCompiling, equivalent}
	fmt.Fprint(table, "share\t")
	for _, o := range columns {
		fmt.Fprint(table, o, "\t")
	}
	fmt.Fprintln(table, " package")
	line := func(name string, counts map[outcome]int) {
		fmt.Fprintf(table, "%.1f %%\t", share(counts))
		for _, o := range columns {
			fmt.Fprintf(table, "%d\t", counts[o])
		}
		fmt.Fprintln(table, " "+name)
	}
	for _, rel := range slices.Sorted(maps.Keys(r.packages)) {
		line(rel, r.packages[rel])
	}
	if len(r.packages) > 1 {
		line("all", r.total())
	}
	return table.Flush()
}

// sortedSurvivors returns the survivors in file order.
func (r *report) sortedSurvivors() []*mutant {
	return slices.SortedStableFunc(slices.Values(r.survived), func(a, b *mutant) int {
		if a.file != b.file {
			return strings.Compare(a.file.rel, b.file.rel)
		}
		return a.start - b.start
	})
}
