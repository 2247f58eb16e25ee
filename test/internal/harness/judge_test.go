package harness

import (
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// submission returns a submission that took 0.1 s and was answered at the given second.
func submission(done float64, status int, code string) Submission {
	s := Submission{Sent: at(done - 0.1), Done: at(done), Answer: Answer{HTTPStatus: status, Code: code}}
	if status == 202 {
		s.Answer.RequestID = "id"
	}
	return s
}

func submissions(status int, code string, done ...float64) []Submission {
	var all []Submission
	for _, d := range done {
		all = append(all, submission(d, status, code))
	}
	return all
}

func samples(status int, times ...float64) []Sample {
	var all []Sample
	for _, t := range times {
		all = append(all, Sample{At: at(t), HTTPStatus: status})
	}
	return all
}

func join[T any](lists ...[]T) []T {
	var all []T
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func TestLies(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		samples     []Sample
		submissions []Submission
		want        []Lie
	}{
		"ready and accepting": {samples(200, 0, 1, 2, 3, 4), submissions(202, "", 0.5, 1.5, 2.5, 3.5), nil},
		"ready while refusing": {samples(200, 0, 1, 2, 3, 4), submissions(503, "unavailable", 0.5, 1.5, 2.6, 3.5),
			[]Lie{{true, at(0.5), at(3.5)}}},
		"ready while refusing, not for long": {samples(200, 0, 1, 2, 3), submissions(503, "unavailable", 0.5, 2.4), nil},
		"ready while refusing, one in between was accepted": {samples(200, 0, 1, 2, 3, 4),
			join(submissions(503, "unavailable", 0.5, 1.5, 2.6, 3.5), submissions(202, "", 2.0)), nil},
		"not ready after a moment": {join(samples(200, 0), samples(503, 1, 2, 3, 4)),
			submissions(503, "unavailable", 0.5, 1.5, 2.6, 3.5), nil},
		"a full queue does not affect readiness": {samples(200, 0, 1, 2, 3, 4), submissions(503, "full", 0.5, 1.5, 2.6, 3.5), nil},
		"not ready while accepting": {samples(503, 0, 1, 2, 3, 4, 5, 6, 7), submissions(202, "", 0.5, 3, 5.6, 6),
			[]Lie{{false, at(0.5), at(6)}}},
		"not ready while accepting, not for long": {samples(503, 0, 1, 2, 3, 4, 5), submissions(202, "", 0.5, 3, 5.4), nil},
		"no response is ignored":                  {samples(0, 0, 1, 2, 3, 4), submissions(503, "unavailable", 0.5, 1.5, 2.6, 3.5), nil},
		"two lies": {join(samples(200, 0, 1, 2, 3), samples(503, 4), samples(200, 5, 6, 7, 8)),
			submissions(503, "unavailable", 0.5, 3, 5.5, 7.9), []Lie{{true, at(0.5), at(3)}, {true, at(5.5), at(7.9)}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Lies(test.samples, test.submissions, 2*time.Second, 5*time.Second)
			if len(got) != len(test.want) {
				t.Fatalf("Lies = %v, want %v", got, test.want)
			}
			for i := range got {
				if got[i] != test.want[i] {
					t.Errorf("Lies[%d] = %v, want %v", i, got[i], test.want[i])
				}
			}
		})
	}
}

func TestBack(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		submissions []Submission
		want        time.Duration
		served      bool
	}{
		"at once":                       {submissions(202, "", 9, 10.5, 11), 500 * time.Millisecond, true},
		"sent before the end":           {submissions(202, "", 10.05, 12), 2 * time.Second, true},
		"after refusals":                {join(submissions(503, "unavailable", 11, 12), submissions(202, "", 12.5, 13)), 2500 * time.Millisecond, true},
		"a late rejection":              {join(submissions(202, "", 11, 14), submissions(503, "unavailable", 13)), 3 * time.Second, true},
		"no response is a failure":      {join(submissions(202, "", 11, 14), submissions(0, "", 13)), 3 * time.Second, true},
		"a full queue is not a failure": {join(submissions(202, "", 11, 14), submissions(503, "full", 13)), time.Second, true},
		"later images are ignored": {join(submissions(202, "", 11), submissions(503, "unavailable", 20.5)),
			time.Second, true},
		"later failures are ignored": {join(submissions(202, "", 11), submissions(503, "unavailable", 20.05)),
			time.Second, true},
		"accepted, but slowly": {join(submissions(202, "", 11, 14), []Submission{{Sent: at(10.5), Done: at(13), Answer: Answer{HTTPStatus: 202, RequestID: "id"}}}),
			3 * time.Second, true},
		"never":              {submissions(503, "unavailable", 11, 12, 19), 0, false},
		"refused at the end": {join(submissions(202, "", 11), submissions(503, "unavailable", 12)), 0, false},
		"nothing was sent":   {nil, 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, served := Back(test.submissions, at(10), at(20)); got != test.want || served != test.served {
				t.Errorf("Back = %v, %v, want %v, %v", got, served, test.want, test.served)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	all := join(samples(200, 0, 1), samples(503, 2, 3), samples(0, 4), samples(200, 5))
	if got, want := Describe(Changes(all), at(1)), "+1.0s 503, +3.0s none, +4.0s 200"; got != want {
		t.Errorf("Describe = %q, want %q", got, want)
	}
	if got := Describe(Changes(samples(503, 0, 1)), at(0)); got != "-" {
		t.Errorf("Describe without changes = %q", got)
	}
}

func completed(label, stamp string) Answer {
	a := Answer{HTTPStatus: 200, Status: "completed", CompletedAt: stamp}
	a.Result.Predictions = []string{label}
	return a
}

func TestJudge(t *testing.T) {
	t.Parallel()
	failed := Answer{HTTPStatus: 200, Status: "failed", Code: "lost", Message: "its image is gone", CompletedAt: "1"}
	silent := failed
	silent.Message = ""
	tests := map[string]struct {
		request             Request
		outcome             string
		noEnd, wrong, twice int
	}{
		"not accepted":          {Request{}, "", 0, 0, 0},
		"completed":             {Request{ID: "a", Label: "x", End: completed("x", "1"), Again: []Answer{completed("x", "1")}}, "completed", 0, 0, 0},
		"another image's label": {Request{ID: "a", Label: "x", End: completed("y", "1")}, "completed", 0, 1, 0},
		"no label":              {Request{ID: "a", Label: "x", End: Answer{HTTPStatus: 200, Status: "completed"}}, "completed", 0, 1, 0},
		"failed with a reason":  {Request{ID: "a", End: failed}, "failed lost", 0, 0, 0},
		"failed without":        {Request{ID: "a", End: silent}, "failed lost", 0, 1, 0},
		"no end":                {Request{ID: "a", End: Answer{HTTPStatus: 200, Status: "queued"}}, "no end", 1, 0, 0},
		"ended at another time": {Request{ID: "a", Label: "x", End: completed("x", "1"), Again: []Answer{completed("x", "2")}}, "completed", 0, 0, 1},
		"ended otherwise":       {Request{ID: "a", Label: "x", End: completed("x", "1"), Again: []Answer{failed}}, "completed", 0, 0, 1},
		"unreachable later":     {Request{ID: "a", Label: "x", End: completed("x", "1"), Again: []Answer{{HTTPStatus: 503}}}, "completed", 0, 0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f Findings
			b := Judge([]*Request{&test.request}, &f)
			if b.NoEnd != test.noEnd || b.Wrong != test.wrong || b.Twice != test.twice {
				t.Errorf("Judge = %+v, want %d without end, %d wrong, %d twice", b, test.noEnd, test.wrong, test.twice)
			}
			if len(f.kinds) != test.noEnd+test.wrong+test.twice {
				t.Errorf("findings: %q", f.first)
			}
			if test.outcome != "" && b.Outcomes[test.outcome] != 1 {
				t.Errorf("Outcomes = %v, want one %q", b.Outcomes, test.outcome)
			}
		})
	}
}

// TestImages checks that a load repeats its images for the same seed, and that some images are sent twice.
func TestImages(t *testing.T) {
	t.Parallel()
	a, b, other := Load{Seed: 1, Name: "x"}, Load{Seed: 1, Name: "x"}, Load{Seed: 2, Name: "x"}
	repeated, labels := 0, map[string]bool{}
	for i := range 1000 {
		label := Label(a.Image(i))
		if label != Label(b.Image(i)) || label == Label(other.Image(i)) {
			t.Fatalf("image %d does not follow from the seed", i)
		}
		if labels[label] {
			repeated++
		}
		labels[label] = true
	}
	if repeated < 50 || repeated > 150 {
		t.Errorf("%d of 1000 images are repeated, want about 90", repeated)
	}
}

func TestGrown(t *testing.T) {
	t.Parallel()
	before := Gauges{Goroutines: 100, OpenFDs: 30}
	if err := (Gauges{Goroutines: 130, OpenFDs: 40}).Grown(before); err != nil {
		t.Error(err)
	}
	for _, g := range []Gauges{{200, 30}, {100, 90}} {
		if err := g.Grown(before); err == nil || !strings.Contains(err.Error(), "before the load") {
			t.Errorf("Grown(%+v) = %v", g, err)
		}
	}
}

func TestRetryPause(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer Answer
		random float64
		want   time.Duration
	}{
		"no answer":              {Answer{}, 1, 200 * time.Millisecond},
		"as told by Retry-After": {Answer{HTTPStatus: 503, RetryAfter: "1"}, 1, time.Second},
		"half of it":             {Answer{HTTPStatus: 503, RetryAfter: "1"}, 0, 500 * time.Millisecond},
		"at most 2 s":            {Answer{HTTPStatus: 503, RetryAfter: "30"}, 1, 2 * time.Second},
		"not understood":         {Answer{HTTPStatus: 503, RetryAfter: "soon"}, 0, 100 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := retryPause(test.answer, test.random); got != test.want {
				t.Errorf("retryPause = %v, want %v", got, test.want)
			}
		})
	}
}
