// Package report shows the result of a load test as text, as charts, and as one page of HTML without external resources.
// It reads a result.Summary, which computes all figures.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Text writes a summary as text.
func Text(w io.Writer, s *result.Summary) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s, schedule %s, %s\n", s.Target, s.Schedule, loop(s))
	var words []string
	for _, setting := range settings(s) {
		words = append(words, setting.Name+" "+setting.Value)
	}
	if len(words) > 0 {
		fmt.Fprintln(w, clean(strings.Join(words, ", ")))
	}
	fmt.Fprintf(w, "%d images in %.1f s: %d answered (%d from the cache), %d failed, %.1f answers/s\n",
		s.Sent, s.Elapsed.Seconds(), s.OK, s.Cached, s.Sent-s.OK, s.Rate())
	if note := Cached(s); note != "" {
		fmt.Fprintln(w, note)
	}
	if s.Checked > 0 {
		fmt.Fprintf(w, "%d labels checked\n", s.Checked)
	}
	for _, kind := range s.Kinds() {
		fmt.Fprintf(w, "  %d x %s, for example: %s\n", s.Errors[kind], kind, cut(clean(s.Examples[kind]), maxSample))
		if kind == string(resnet18cloud.CodeUnauthorized) {
			fmt.Fprintln(w, "    --token-file names the file with the token of a key; the key needs scope predict")
		}
	}
	if note, _ := lateness(s); note != "" {
		fmt.Fprintln(w, note)
	}
	if s.OK < s.Sent {
		fmt.Fprintln(w, "Latencies are of successful requests; conditions on percentiles count failed ones as never ending.")
	}
	fmt.Fprint(tw, "milliseconds\tmean\t")
	for _, p := range result.Percentiles {
		fmt.Fprintf(tw, "p%g\t", p)
	}
	fmt.Fprintln(tw, "max\t")
	unsure := false
	for _, span := range shown(s) {
		n := s.Count(span)
		fmt.Fprintf(tw, "%s\t%s\t", span, short(s.Mean(span))) // histograms have three digits
		for _, p := range result.Percentiles {
			mark := ""
			if !result.EnoughSamples(n, p) {
				mark, unsure = "~", true
			}
			fmt.Fprintf(tw, "%s%s\t", mark, short(s.Percentile(span, p)))
		}
		fmt.Fprintf(tw, "%s\t\n", short(s.Max(span)))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	if unsure {
		fmt.Fprintln(w, doubt)
	}
	return nil
}

// shown lists the spans to show: those with observations, and the two parts of the total only if some answers came from
// the server's cache.
func shown(s *result.Summary) []string {
	return slices.DeleteFunc(slices.Clone(result.Spans), func(span string) bool {
		return s.Count(span) == 0 || !mixed(s) && (span == result.SpanComputed || span == result.SpanCached)
	})
}

// mixed reports whether some answers came from the server's cache, and some did not.
func mixed(s *result.Summary) bool { return s.Split() && s.Count(result.SpanComputed) > 0 }

// Cached warns that a result does not measure computing if a cache answered; empty if it did not.
func Cached(s *result.Summary) string {
	if s.Cached == 0 {
		return ""
	}
	note := fmt.Sprintf("%d of %d answers (%s) came from the server's cache", s.Cached, s.OK, percentOf(s.Cached, s.OK))
	switch {
	case s.Split() && s.Count(result.SpanComputed) == 0:
		note += ", none was computed"
	case s.Split():
		note += ", which takes less time than computing; 'computed' shows the others"
	}
	return note + "; use --unique to have all computed"
}

// percentOf writes a share in percent with two digits, and not 0 or 100 unless that is exact.
func percentOf(n, of int) string {
	share := 100 * float64(n) / float64(max(of, 1))
	switch {
	case n > 0 && share < 0.1:
		return "under 0.1 %"
	case n < of && share > 99.9:
		return "over 99.9 %"
	case share < 10 || share > 99 && n < of:
		return fmt.Sprintf("%.1f %%", share)
	}
	return fmt.Sprintf("%.0f %%", share)
}

// maxSample is the maximum length of a message, in characters.
const maxSample = 300

// clean turns a server's text into one line without control characters.
func clean(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
}

// cut shortens a text to a maximum number of characters, with an ellipsis.
func cut(text string, maximum int) string {
	characters := []rune(text)
	if len(characters) <= maximum {
		return text
	}
	return string(characters[:max(0, maximum-1)]) + "…"
}

// loop describes how requests are paced.
func loop(s *result.Summary) string {
	text := "open loop"
	if s.Workers > 0 {
		text = fmt.Sprintf("closed loop of %d workers", s.Workers)
	}
	if s.Machines > 1 {
		text += fmt.Sprintf(", results of %d testers", s.Machines)
	}
	return text
}

const doubt = "~: fewer than ten observations lie beyond this percentile; it is unreliable"

// manyLate is the share of requests sent late from which on lateness matters. Below it, a machine was busy for a moment.
const manyLate = 0.05

// lateness reports requests that the tester sent late, and whether they are so many that it matters; empty if there are none.
func lateness(s *result.Summary) (text string, serious bool) {
	if s.Late == 0 {
		return "", false
	}
	text = fmt.Sprintf("%d of %d requests (%s) sent more than %s late", s.Late, s.Sent, percentOf(s.Late, s.Sent), result.LateAfter)
	switch {
	case float64(s.Late) < manyLate*float64(s.Sent):
		return text, false
	case s.Workers > 0:
		return fmt.Sprintf("%s: a closed loop of %d workers waits for answers before it sends more", text, s.Workers), true
	default:
		return text + ": this machine did not keep up with the schedule; use several and merge their results", true
	}
}

// settings are what the user chose for a run, besides schedule and target, and the models that answered.
func settings(s *result.Summary) []result.Setting {
	all := slices.Clone(s.Settings)
	for _, model := range s.ModelNames() {
		value := model
		if len(s.Models) > 1 {
			value = fmt.Sprintf("%s: %d answers", model, s.Models[model])
		}
		all = append(all, result.Setting{Name: "model", Value: value})
	}
	return all
}
