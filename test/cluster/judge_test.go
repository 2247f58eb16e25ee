//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

const (
	// backLimit is the maximum time after a fault until everything serves again.
	backLimit = 10 * time.Second
	// sampling is the maximum delay until a change of readiness is seen: twice the time between samples.
	sampling = 400 * time.Millisecond
)

// overlaps reports whether the time between from and to overlaps a fault or the grace period after it.
func (s *system) overlaps(from, to time.Time) bool {
	for _, f := range s.faults {
		if to.After(f.Start) && from.Before(f.End.Add(backLimit)) {
			return true
		}
	}
	return false
}

// lasting returns the time since the start of the last fault before at.
func (s *system) lasting(at time.Time) time.Duration {
	since := time.Duration(0)
	for _, f := range s.faults {
		if at.After(f.Start) {
			since = at.Sub(f.Start)
		}
	}
	return since
}

// judge reports everything that clients saw and should not have seen, and adds a row to the table.
func (s *system) judge(ctx context.Context, sc scenario) {
	s.t.Helper()
	var f harness.Findings
	s.judgeSubmissions(sc, &f)
	s.judgePolls(sc, &f)
	s.judgeReadiness(sc, &f)
	books := harness.Judge(s.load.Requests(), &f)
	for outcome, n := range books.Outcomes {
		if outcome != "completed" && outcome != "no end" {
			f.Add("requests ended otherwise than completed", "%d %s", n, outcome)
		}
	}
	s.judgeAudit(&f)
	s.judgeProcesses(ctx, &f)
	back := s.judgeBack(&f)
	f.Report(s.t)
	s.t.Logf("outcomes: %v; without end %d, wrong %d, ended twice %d", books.Outcomes, books.NoEnd, books.Wrong, books.Twice)
	addRow(s, sc.name, back)
}

// since formats a time as seconds after the start of the first fault, or the first submission if there is no fault.
func (s *system) since(at time.Time) string {
	return fmt.Sprintf("%+.1fs", at.Sub(s.origin()).Seconds())
}

func (s *system) origin() time.Time {
	if len(s.faults) > 0 {
		return s.faults[0].Start
	}
	if all := s.load.Submissions(); len(all) > 0 {
		return all[0].Sent
	}
	return time.Now()
}

func (s *system) judgeSubmissions(sc scenario, f *harness.Findings) {
	for _, sub := range s.load.Submissions() {
		allow, a := sc.allow[sub.Dispatcher], sub.Answer
		inFault := s.overlaps(sub.Sent, sub.Done)
		text := fmt.Sprintf("request %d at dispatcher %d, sent at %s, after %.2fs: %s %q %v", sub.Request, sub.Dispatcher,
			s.since(sub.Sent), sub.Done.Sub(sub.Sent).Seconds(), a.Code, a.Message, a.Err)
		switch {
		case a.Accepted():
		case a.HTTPStatus == http.StatusServiceUnavailable && a.RetryAfter == "":
			f.Add("submission refused without Retry-After", "%s", text)
		case a.HTTPStatus == http.StatusServiceUnavailable && allow.refuse && inFault && s.lasting(sub.Done) >= allow.refuseAfter:
		// No job leaves the queue while its consumer has no leader, so the queue may fill up.
		case a.Code == "full" && inFault:
		case a.HTTPStatus == http.StatusServiceUnavailable:
			f.Add("submission refused that must be accepted", "%s", text)
		case a.HTTPStatus == 0 && allow.away && inFault:
		default:
			f.Add(fmt.Sprintf("submission answered %d", a.HTTPStatus), "%s", text)
		}
	}
}

func (s *system) judgePolls(sc scenario, f *harness.Findings) {
	for _, p := range s.load.Polls() {
		inFault := s.overlaps(p.Sent, p.Done)
		text := fmt.Sprintf("request %d at dispatcher %d, asked at %s, after %.2fs: %v", p.Request, p.Dispatcher,
			s.since(p.Sent), p.Done.Sub(p.Sent).Seconds(), p.Err)
		switch {
		case p.HTTPStatus == http.StatusOK:
		case p.HTTPStatus == http.StatusServiceUnavailable && !p.RetryAfter:
			f.Add("poll answered 503 without Retry-After", "%s", text)
		case p.HTTPStatus == http.StatusServiceUnavailable && inFault:
		case p.HTTPStatus == 0 && sc.allow[p.Dispatcher].away && inFault:
		default:
			f.Add(fmt.Sprintf("poll of an accepted request answered %d", p.HTTPStatus), "%s", text)
		}
	}
}

// judgeAudit checks the responses after the end.
func (s *system) judgeAudit(f *harness.Findings) {
	for _, r := range s.load.Requests() {
		for _, a := range r.Again {
			if !a.Ended() {
				f.Add("request without an end when all was over", "%s: %d %q %v", r.ID, a.HTTPStatus, a.Status, a.Err)
			} else if a.Status == "completed" && !slices.Contains(s.endpoints, a.ReplicaUsed) {
				f.Add("request that another installation answered", "%s: by %q", r.ID, a.ReplicaUsed)
			}
		}
	}
}

// reason is a word that the response of a dispatcher that has lost the majority must contain.
var reason = regexp.MustCompile(`(?i)quorum|majority|servers|NATS`)

func (s *system) judgeReadiness(sc scenario, f *harness.Findings) {
	submissions := s.load.Submissions()
	for d, allow := range sc.allow {
		samples := s.ready[d].Samples()
		for _, sample := range samples {
			inFault := s.overlaps(sample.At, sample.At)
			switch {
			case sample.HTTPStatus == http.StatusOK:
			case inFault && allow.unready && sample.HTTPStatus == http.StatusServiceUnavailable:
			case inFault && allow.away && sample.HTTPStatus == 0:
			default:
				f.Add(fmt.Sprintf("readiness of dispatcher %d answered %d", d, sample.HTTPStatus), "at %s: %s", s.since(sample.At), sample.Body)
			}
		}
		refusing := backLimit
		if allow.notice > 0 {
			refusing = allow.notice + sampling
		}
		for _, lie := range harness.Lies(samples, harness.At(submissions, d), refusing, backLimit) {
			f.Add("readiness that contradicts the answers", "dispatcher %d from %s to %s: ready is %v", d, s.since(lie.From), s.since(lie.To), lie.Ready)
		}
		for _, ft := range s.faults {
			s.judgeNotice(d, allow, ft, samples, f)
			judgeReadyAgain(d, ft, samples, f)
		}
	}
}

// judgeNotice checks that the dispatcher reports not ready in time, and why, until the fault ends.
func (s *system) judgeNotice(d int, allow allowance, ft harness.Fault, samples []harness.Sample, f *harness.Findings) {
	if allow.notice == 0 {
		return
	}
	noticed := false
	for _, sample := range samples {
		if sample.At.Before(ft.Start) || sample.At.After(ft.End) {
			continue
		}
		after := sample.At.Sub(ft.Start)
		switch unready := sample.HTTPStatus == http.StatusServiceUnavailable; {
		case unready && !noticed:
			noticed = true
			s.t.Logf("dispatcher %d not ready %.1fs after %s: %s", d, after.Seconds(), ft.Name, strings.TrimSpace(sample.Body))
			if !reason.MatchString(sample.Body) {
				f.Add("readiness without a reason", "dispatcher %d: %s", d, sample.Body)
			}
		case !unready && after > allow.notice+sampling:
			f.Add("readiness too late, or taken back while the fault lasts", "dispatcher %d %.1fs after %s: %d", d, after.Seconds(), ft.Name, sample.HTTPStatus)
		}
	}
	if !noticed {
		f.Add("fault that readiness does not show", "dispatcher %d: %s", d, ft.Name)
	}
}

// judgeReadyAgain checks that the dispatcher is ready in time after the fault.
func judgeReadyAgain(d int, ft harness.Fault, samples []harness.Sample, f *harness.Findings) {
	for _, sample := range samples {
		if sample.At.After(ft.End) && sample.HTTPStatus == http.StatusOK {
			if after := sample.At.Sub(ft.End); after > backLimit {
				f.Add("readiness that comes back too late", "dispatcher %d %.1fs after %s", d, after.Seconds(), ft.Name)
			}
			return
		}
	}
	f.Add("readiness that does not come back", "dispatcher %d after %s", d, ft.Name)
}

// judgeBack returns the longest time after a fault until everything served again.
func (s *system) judgeBack(f *harness.Findings) time.Duration {
	submissions := s.load.Submissions()
	longest := time.Duration(0)
	for i, ft := range s.faults {
		until := time.Now()
		if i+1 < len(s.faults) {
			until = s.faults[i+1].Start
		}
		for d := range s.urls {
			back, served := harness.Back(harness.At(submissions, d), ft.End, until)
			longest = max(longest, back)
			switch {
			case !served:
				f.Add("fault after which a dispatcher does not serve again", "dispatcher %d after %s", d, ft.Name)
			case back > backLimit:
				f.Add("fault after which a dispatcher serves too late", "dispatcher %d %.1fs after %s", d, back.Seconds(), ft.Name)
			}
		}
	}
	return longest
}

// judgeProcesses checks that dispatchers have no work left, use no more resources than before, are the same processes
// as before, and do not log the password.
func (s *system) judgeProcesses(ctx context.Context, f *harness.Findings) {
	for i, p := range s.dispatchers {
		if err := p.Crashed(); err != nil {
			f.Add("process that ended", "%v", err)
			continue
		}
		if err := harness.Await(ctx, 15*time.Second, func(ctx context.Context) error { return harness.Settled(ctx, s.urls[i]) }); err != nil {
			f.Add("dispatcher that does not settle", "%v", err)
		}
		if err := s.awaitShrunk(ctx, i); err != nil {
			f.Add("dispatcher that grows", "dispatcher %d: %v", i, err)
		}
		judgeLog(p, f)
	}
}

// awaitShrunk waits until a dispatcher uses no more resources than without load.
func (s *system) awaitShrunk(ctx context.Context, i int) error {
	if s.before[i] == (harness.Gauges{}) {
		return nil
	}
	return harness.Await(ctx, 20*time.Second, func(ctx context.Context) error {
		held, err := harness.ReadGauges(ctx, s.urls[i])
		if err != nil {
			return err
		}
		return held.Grown(s.before[i])
	})
}

func judgeLog(p *harness.Process, f *harness.Findings) {
	for line := range strings.Lines(p.Log()) {
		if strings.Contains(line, password) {
			f.Add("password in a log", "%s: %s", p.Name(), strings.ReplaceAll(line, password, "PASSWORD"))
		}
	}
}
