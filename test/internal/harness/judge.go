package harness

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fault is a period in which something was broken.
type Fault struct {
	Name       string
	Start, End time.Time
}

// Refused reports whether the dispatcher rejected the image for a reason other than a full queue.
func (s Submission) Refused() bool {
	return s.Answer.HTTPStatus == http.StatusServiceUnavailable && s.Answer.Code != "full"
}

// At returns the submissions of one dispatcher.
func At(all []Submission, dispatcher int) []Submission {
	return slices.DeleteFunc(slices.Clone(all), func(s Submission) bool { return s.Dispatcher != dispatcher })
}

// Lie is a period in which a dispatcher's readiness contradicted its responses.
type Lie struct {
	Ready    bool // what it reported; it did the opposite
	From, To time.Time
}

// Lies finds periods in which a dispatcher reported ready and rejected every submission for longer than refusing, or
// reported not ready and accepted every submission for longer than accepting. A period lasts from its first such
// response to its last. A readiness check without a response is ignored.
func Lies(samples []Sample, submissions []Submission, refusing, accepting time.Duration) []Lie {
	type event struct {
		at     time.Time
		sample int // HTTP status; -1 for a submission
		accept bool
	}
	var events []event
	for _, s := range samples {
		events = append(events, event{at: s.At, sample: s.HTTPStatus})
	}
	for _, s := range submissions {
		if s.Answer.Accepted() || s.Refused() {
			events = append(events, event{at: s.Done, sample: -1, accept: s.Answer.Accepted()})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	var lies []Lie
	said := 0           // the last sample
	var since time.Time // the first response that contradicts said; zero if there is none since the last one that does not
	extending := false  // the last lie continues
	for _, e := range events {
		if e.sample >= 0 {
			if (e.sample == http.StatusOK) != (said == http.StatusOK) || e.sample == 0 {
				since, extending = time.Time{}, false
			}
			said = e.sample
			continue
		}
		ready := said == http.StatusOK
		limit := accepting
		if ready {
			limit = refusing
		}
		switch {
		case said == 0 || ready == e.accept:
			since, extending = time.Time{}, false
		case since.IsZero():
			since = e.at
		case extending:
			lies[len(lies)-1].To = e.at
		case e.at.Sub(since) > limit:
			lies, extending = append(lies, Lie{Ready: ready, From: since, To: e.at}), true
		}
	}
	return lies
}

// slow is how long a submission may take without a fault, on a busy machine.
const slow = 2 * time.Second

// Back returns how long after the end of a fault a dispatcher served again: until the first image sent after it was
// accepted, or until the last response that was not an acceptance, or took more than 2 s, whichever is later. It
// ignores images sent from until on, and those that met a full queue or failed after until, because the next fault
// may be the cause. It reports false if the dispatcher never served again.
func Back(submissions []Submission, end, until time.Time) (time.Duration, bool) {
	var first, last, trouble time.Time // first and last acceptance, and the last bad response
	for _, s := range submissions {
		accepted := s.Answer.Accepted()
		if !s.Sent.Before(until) || !accepted && s.Answer.Code == "full" {
			continue
		}
		if accepted && !s.Sent.Before(end) {
			if first.IsZero() || s.Done.Before(first) {
				first = s.Done
			}
			if s.Done.After(last) {
				last = s.Done
			}
		}
		wrong := !accepted || s.Done.Sub(s.Sent) > slow
		if wrong && s.Done.After(end) && s.Done.Before(until) && s.Done.After(trouble) {
			trouble = s.Done
		}
	}
	if first.IsZero() || trouble.After(last) {
		return 0, false
	}
	if trouble.After(first) {
		first = trouble
	}
	return first.Sub(end), true
}

// Change is a readiness that differs from the previous one.
type Change struct {
	At         time.Time
	HTTPStatus int
}

// Changes returns the changes of readiness. The first sample is not a change.
func Changes(samples []Sample) []Change {
	var changes []Change
	for i, s := range samples {
		if i > 0 && s.HTTPStatus != samples[i-1].HTTPStatus {
			changes = append(changes, Change{s.At, s.HTTPStatus})
		}
	}
	return changes
}

// Describe formats changes with the seconds since start, such as "+2.4s 503, +23.1s 200". It omits the middle of long
// lists.
func Describe(changes []Change, start time.Time) string {
	var parts []string
	for i, c := range changes {
		if len(changes) > 6 && i >= 3 && i < len(changes)-2 {
			if i == 3 {
				parts = append(parts, fmt.Sprintf("(%d more)", len(changes)-5))
			}
			continue
		}
		status := fmt.Sprint(c.HTTPStatus)
		if c.HTTPStatus == 0 {
			status = "none"
		}
		parts = append(parts, fmt.Sprintf("%+.1fs %s", c.At.Sub(start).Seconds(), status))
	}
	if parts == nil {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// Tally is the number of requests by outcome, and the number of errors.
type Tally struct {
	Outcomes map[string]int // by status, and by code if it is not completed
	NoEnd    int            // accepted, but no client saw an end
	Wrong    int            // completed with another image's label
	Twice    int            // ended twice, or with different outcomes
}

// Judge checks each accepted request: it must have one end, with the label that its bytes demand or a reason, the
// same at every dispatcher and at any time. It adds violations to f. The caller decides by Outcomes which failures
// are acceptable.
func Judge(requests []*Request, f *Findings) Tally {
	b := Tally{Outcomes: map[string]int{}}
	for _, r := range requests {
		if r.ID == "" {
			continue
		}
		fail := func(count *int, kind, format string, args ...any) {
			*count++
			f.Add(kind, "request %d (%s): "+format, append([]any{r.Index, r.ID}, args...)...)
		}
		end := r.End
		if !end.Ended() { // an end that only Audit sees came too late for clients
			fail(&b.NoEnd, "request without an end", "no end was seen within %s", patience)
			b.Outcomes["no end"]++
			continue
		}
		outcome := end.Status
		if end.Status != "completed" {
			outcome += " " + end.Code
		}
		b.Outcomes[outcome]++
		switch {
		case end.Status == "completed" && (len(end.Result.Predictions) == 0 || end.Result.Predictions[0] != r.Label):
			fail(&b.Wrong, "request with another image's label", "label %q, want %s", end.Result.Predictions, r.Label)
		case end.Status == "failed" && end.Message == "":
			fail(&b.Wrong, "request that failed without a reason", "%s", end.Code)
		}
		for _, again := range r.Again {
			if again.Ended() && (again.Status != end.Status || again.CompletedAt != end.CompletedAt) {
				fail(&b.Twice, "request that ended twice", "%s at %s, later %s at %s", end.Status, end.CompletedAt, again.Status, again.CompletedAt)
				break
			}
		}
	}
	return b
}
