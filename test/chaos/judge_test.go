//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

const (
	// backLimit is the maximum time after a fault until everything serves again.
	backLimit = 5 * time.Second
	// lieLimit is how long a dispatcher may report ready and reject requests.
	lieLimit = 2 * time.Second
	// endLimit is the maximum time after damage, once everything runs again, until each accepted request has ended.
	endLimit = 10 * time.Second
)

// judge reports everything that clients saw and should not have seen. It returns the number of requests by outcome.
func (s *system) judge(ctx context.Context) map[string]int {
	s.t.Helper()
	var f harness.Findings
	requests := s.load.Requests()
	gone, redone := s.excuseDamage(requests)
	books := harness.Judge(requests, &f)
	lost := s.judgeRequests(requests, &f)
	s.judgeAnswers(&f)
	s.judgeFaults()
	f.Report(s.t)
	for d, r := range s.ready {
		for _, lie := range harness.Lies(r.Samples(), harness.At(s.load.Submissions(), d), lieLimit, backLimit) {
			s.t.Errorf("dispatcher %d: ready is %v for %s, and answers say the opposite, during %s", d, lie.Ready, lie.To.Sub(lie.From).Round(time.Millisecond), s.during(lie.From))
		}
	}
	for _, base := range s.urls {
		if err := harness.Await(ctx, 15*time.Second, func(ctx context.Context) error { return harness.Settled(ctx, base) }); err != nil {
			s.t.Error(err)
		}
	}
	s.t.Logf("outcomes: %v; without end %d, wrong %d, ended twice %d; by damage: lost %d, results gone %d, done again %d", books.Outcomes,
		books.NoEnd, books.Wrong, books.Twice, lost, gone, redone)
	if completed := books.Outcomes["completed"] + lost; completed < len(requests)*99/100 {
		s.t.Errorf("%d of %d completed, want 99 %%: failing with a reason is for requests, not for replicas", completed, len(requests))
	}
	return books.Outcomes
}

// during names the current fault, or the previous one.
func (s *system) during(at time.Time) string {
	name := "no fault"
	for _, f := range s.faults {
		if f.Start.Before(at) {
			name = fmt.Sprintf("%s, %.1fs after its start", f.Name, at.Sub(f.Start).Seconds())
		}
	}
	return name
}

// judgeRequests checks that all requests were accepted in the end, and that only damage lost any. It returns the
// number of lost ones.
func (s *system) judgeRequests(requests []*harness.Request, f *harness.Findings) (lost int) {
	first := map[int]time.Time{} // when a request was first sent
	for _, sub := range s.load.Submissions() {
		if t, ok := first[sub.Request]; !ok || sub.Sent.Before(t) {
			first[sub.Request] = sub.Sent
		}
	}
	for _, r := range requests {
		if r.ID == "" {
			f.Add("request that was not accepted within a minute", "request %d", r.Index)
			continue
		}
		var met *damage // damage before the request ended
		for i, d := range s.damages {
			if first[r.Index].Before(d.till) && r.EndSeen.After(d.from) {
				met = &s.damages[i]
			}
		}
		if r.End.Status == "failed" && r.End.Code == "lost" {
			if lost++; met == nil {
				f.Add("request lost without damage", "request %d (%s): %s", r.Index, r.ID, r.End.Message)
			}
		}
		if met != nil && r.Accepted.Before(met.till) && r.EndSeen.After(met.whole.Add(endLimit+time.Second)) {
			f.Add("request that ended too late after damage", "request %d (%s) %.1fs after %s", r.Index, r.ID, r.EndSeen.Sub(met.whole).Seconds(), met.name)
		}
		for _, a := range r.Again {
			if !a.Ended() {
				f.Add("request without an end when all was over", "request %d (%s): %d %q %v", r.Index, r.ID, a.HTTPStatus, a.Status, a.Err)
			}
		}
	}
	return lost
}

// excuseDamage removes findings about requests whose end clients had seen before data was damaged, if the damage
// explains them. Gone: the result no longer exists, as reported by a 404 or a failure with code lost. Redone: the
// image was restored without its completion, and ended as before but at another time.
func (s *system) excuseDamage(requests []*harness.Request) (gone, redone int) {
	for _, r := range requests {
		if !r.End.Ended() || !s.damagedAfter(r.EndSeen) {
			continue
		}
		r.Again = slices.DeleteFunc(r.Again, func(a harness.Answer) bool {
			switch {
			case a.HTTPStatus == http.StatusNotFound || a.Ended() && a.Code == "lost":
				gone++
				return true
			case a.Ended() && a.Status == "completed" && r.End.Status == "completed" && a.CompletedAt != r.End.CompletedAt && a.Result.Predictions[0] == r.Label:
				redone++
				return true
			}
			return false
		})
	}
	return gone, redone
}

func (s *system) damagedAfter(t time.Time) bool {
	for _, d := range s.damages {
		if d.till.After(t) {
			return true
		}
	}
	return false
}

// judgeAnswers checks that submissions are accepted, rejected with Retry-After, or not answered, and polls likewise.
func (s *system) judgeAnswers(f *harness.Findings) {
	for _, sub := range s.load.Submissions() {
		a := sub.Answer
		if !a.Accepted() && a.HTTPStatus != 0 && (a.HTTPStatus != http.StatusServiceUnavailable || a.RetryAfter == "") {
			f.Add(fmt.Sprintf("submission answered %d", a.HTTPStatus), "request %d during %s: Retry-After %q, %s %q", sub.Request, s.during(sub.Done), a.RetryAfter, a.Code, a.Message)
		}
	}
	for _, p := range s.load.Polls() {
		if p.HTTPStatus != http.StatusOK && p.HTTPStatus != 0 && (p.HTTPStatus != http.StatusServiceUnavailable || !p.RetryAfter) {
			f.Add(fmt.Sprintf("poll of an accepted request answered %d", p.HTTPStatus), "request %d during %s", p.Request, s.during(p.Done))
		}
	}
}

// judgeFaults checks that each fault was over soon after its end, and prints the longest recovery for each kind.
func (s *system) judgeFaults() {
	type row struct {
		times, refused int
		back           time.Duration
	}
	rows := map[string]row{}
	submissions := s.load.Submissions()
	for i, f := range s.faults {
		until := time.Now()
		if i+1 < len(s.faults) {
			until = s.faults[i+1].Start
		}
		r := rows[f.Name]
		r.times++
		for d := range s.urls {
			back, served := harness.Back(harness.At(submissions, d), f.End, until)
			r.back = max(r.back, back)
			if !served {
				s.t.Errorf("dispatcher %d does not serve again after %s", d, f.Name)
			} else if back > backLimit {
				s.t.Errorf("dispatcher %d serves again %.1fs after %s, want at most %s", d, back.Seconds(), f.Name, backLimit)
			}
		}
		for _, sub := range submissions {
			if sub.Refused() && sub.Done.After(f.Start) && sub.Done.Before(until) {
				r.refused++
			}
		}
		rows[f.Name] = r
	}
	for _, f := range s.possible() {
		if r := rows[f.name]; f.harmless && r.refused > 0 {
			s.t.Errorf("%s: %d submissions refused, want none", f.name, r.refused)
		}
	}
	if len(rows) == 0 {
		return
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "fault\ttimes\tsubmissions refused\tlongest until all served again, s")
	for _, name := range sortedKeys(rows) {
		fmt.Fprintf(out, "%s\t%d\t%d\t%.2f\n", name, rows[name].times, rows[name].refused, rows[name].back.Seconds())
	}
	_ = out.Flush() // standard output
}
