package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/resnet18cloud/resnet18cloud/load/search"
)

// Search writes the trials and the result of a search as text.
func Search(w io.Writer, f *search.Result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	percentiles := trialPercentiles(f)
	fmt.Fprint(tw, "requests/s\tanswers/s\tfailed\t")
	for _, p := range percentiles {
		fmt.Fprintf(tw, "p%g ms\t", p)
	}
	fmt.Fprintln(tw, "late\t\t")
	for _, t := range f.Trials {
		word := "holds"
		if !t.Holds {
			word = "BROKEN"
		}
		s := t.Summary
		fmt.Fprintf(tw, "%.1f\t%.1f\t%d\t", t.Rate, s.Rate(), s.Sent-s.OK)
		for _, p := range percentiles {
			fmt.Fprintf(tw, "%s\t", shortOrNever(s.PercentileAll(p)))
		}
		fmt.Fprintf(tw, "%d\t%s\t\n", s.Late, word)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write search: %w", err)
	}
	if f.Rate == 0 {
		return nil
	}
	more := ""
	if f.Open {
		more = ", the highest rate tried"
	}
	fmt.Fprintf(w, "%.1f requests/s hold%s; the highest rate of answers over ten seconds was %.1f/s\n", f.Rate, more, f.Capacity())
	if note := Cached(f.Best()); note != "" {
		fmt.Fprintln(w, note)
	}
	return nil
}
