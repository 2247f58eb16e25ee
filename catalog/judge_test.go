package catalog

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestJudge checks verdicts on counts. The rules are the default ones: agreement 0.9, at most 1.5 times as slow, 3200 pictures.
func TestJudge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		e      evidence
		want   verdict
		reason string
	}{
		"nothing":                     {evidence{}, wait, ""},
		"too few":                     {evidence{compared: 49, equal: 49}, wait, ""},
		"between looks":               {evidence{compared: 199, equal: 199}, wait, ""},
		"no look at multiples":        {evidence{compared: 150, equal: 150}, wait, ""},
		"equal, but few":              {evidence{compared: 50, equal: 50}, wait, ""},
		"equal":                       {evidence{compared: 100, equal: 100}, promote, "100 of 100"},
		"just enough":                 {evidence{compared: 100, equal: 98}, promote, "90.4 to 99.6 %"},
		"not quite":                   {evidence{compared: 100, equal: 97}, wait, ""},
		"undecided":                   {evidence{compared: 1600, equal: 1440}, wait, ""},
		"never decided":               {evidence{compared: 3200, equal: 2880}, rollBack, "not decided after 3200"},
		"other labels":                {evidence{compared: 50, equal: 20}, rollBack, "wanted at least 90.0 %"},
		"many pictures, a bit better": {evidence{compared: 3200, equal: 2950}, promote, "2950 of 3200"},
		"one failure":                 {evidence{compared: 10, equal: 10, failed: 1}, rollBack, "failed to classify 1"},
		"slow":                        {evidence{compared: 100, equal: 100, slower: 80}, rollBack, "1.5 times"},
		"slow at times":               {evidence{compared: 100, equal: 100, slower: 50}, promote, "100 of 100"},
		"slow comes before labels":    {evidence{compared: 100, equal: 10, slower: 100}, rollBack, "1.5 times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, reason := judge(test.e, Rules{})
			if got != test.want || !strings.Contains(reason, test.reason) {
				t.Errorf("judge(%+v) = %s, %q; want %s, %q", test.e, got, reason, test.want, test.reason)
			}
			if (got == wait) != (reason == "") {
				t.Errorf("%s for %q", got, reason)
			}
		})
	}
}

// TestJudgeErrs checks how often versions whose agreement is clearly enough, or clearly not, get the wrong verdict.
func TestJudgeErrs(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		agreement float64
		want      verdict
		least     float64 // share of the right verdict
	}{{0.99, promote, 1}, {0.95, promote, 0.99}, {0.85, rollBack, 0.99}, {0.5, rollBack, 1}, {0.9, rollBack, 0.93}} {
		const runs = 1000
		right := 0
		for range runs {
			var e evidence
			v := wait
			for v == wait {
				e.compared++
				if r.Float64() < test.agreement {
					e.equal++
				}
				v, _ = judge(e, Rules{})
			}
			if v == test.want {
				right++
			}
		}
		if got := float64(right) / runs; got < test.least {
			t.Errorf("agreement %g: verdict %s in %.3f of the runs, want %.2f", test.agreement, test.want, got, test.least)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	for problem, r := range map[string]Rules{
		"":          {},
		"share":     {Share: 1.1},
		"agreement": {Agreement: 1},
		"slowdown":  {Slowdown: 0.5},
		"pictures":  {MaxPictures: 49},
	} {
		if err := r.Validate(); (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%+v: %v, want %q", r, err, problem)
		}
	}
}
