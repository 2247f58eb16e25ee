package slo_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/result/resulttest"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

// TestConditions judges a run of 30 requests, of which three failed. The answered ones took 1 s (once) and 2 to
// 29 ms.
func TestConditions(t *testing.T) {
	t.Parallel()
	s, _ := resulttest.Run(resulttest.Noon, 30)
	for _, c := range []struct {
		text   string
		holds  bool
		unsure bool
		got    string
	}{
		{"p50<20ms", true, false, "17.01ms"}, // 15th of 30: 2..9, 11..17
		{"p50 < 10ms", false, false, "17.01ms"},
		{"p90<2s", true, true, "1.00045s"},
		{"p99<1h", false, true, "never ends"}, // three of thirty never end
		{"total.p50<20ms", true, false, "17.01ms"},
		{"send-lag.max<=1.1s", true, false, "1.00045s"},
		{"poll-lag.p50<1s", false, false, "nothing measured"}, // must not pass in silence
		{"computed.p50<20ms", true, false, "16.01ms"},         // 14th of 27: failed ones are in the total only
		{"cached.p50<20ms", false, false, "nothing measured"},
		{"cached<1%", true, false, "0%"},
		{"errors<10%", false, false, "10%"},
		{"errors<=10%", true, false, "10%"},
		{"errors<=10", true, false, "10%"},
		{"wrong<1%", true, false, "0%"},
		{"late<5%", true, false, "3.33%"},
		{"rate>9", true, false, "9.2/s"}, // 27 in 2.93 s
		{"rate>=10/s", false, false, "9.2/s"},
		{"max>900ms", true, false, "1.00045s"},
	} {
		condition, err := slo.Parse(c.text)
		if err != nil {
			t.Error(err)
			continue
		}
		if v := condition.Check(s); v.Holds != c.holds || v.Unsure != c.unsure || v.Got != c.got {
			t.Errorf("%s: holds %v, unsure %v, got %q; want %v, %v, %q", c.text, v.Holds, v.Unsure, v.Got, c.holds, c.unsure, c.got)
		}
		word := map[bool]string{true: "holds   ", false: "BROKEN  "}[c.holds]
		if got, want := condition.Check(s).String(), word+condition.String()+": "+c.got; !strings.HasPrefix(got, want) || strings.Contains(got, "unreliable") != c.unsure {
			t.Errorf("verdict %q, want %q", got, want)
		}
		if condition.Check(result.NewSummary()).Holds {
			t.Errorf("%s holds though nothing was sent", c.text)
		}
	}
}

func TestConditionsThatMeanNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "p99", "p99<", "<500ms", "p99<500", "p0<1s", "p101<1s", "pNaN<1s", "lunch.p99<1s", "errors<many",
		"rate>-1", "p99<-1s", "p99=1s", "errors<NaN", "median<1s"} {
		if c, err := slo.Parse(text); err == nil || !strings.Contains(err.Error(), "such as p99<500ms") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, %v; want an error that explains", text, c, err)
		}
	}
}

func TestRequestsNeeded(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"p50<1s": 20, "p99<1s": 1000, "p99.9<1s": 10000, "errors<1%": 1, "max<1s": 1} {
		c, err := slo.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Requests(); got != want {
			t.Errorf("%s needs %d requests, want %d", text, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]slo.Latency{
		"p99.9<500ms": {Span: result.SpanTotal, Figure: "p99.9", Percent: 99.9, Limit: 500 * time.Millisecond}, "max<2s": {Span: result.SpanTotal, Figure: "max", Limit: 2 * time.Second},
		"poll-lag.mean<1ms": {Span: result.SpanPollLag, Figure: "mean", Limit: time.Millisecond}, "errors<1%": {}, "rate>10": {}, "cached<5%": {},
		"cached.p50<5ms": {Span: result.SpanCached, Figure: "p50", Percent: 50, Limit: 5 * time.Millisecond},
	} {
		c, err := slo.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := c.Latency(); got != want || ok != (want.Span != "") {
			t.Errorf("%s: %+v, %t, want %+v", text, got, ok, want)
		}
		if limit, ok := c.RateLimit(); ok != (text == "rate>10") || ok && limit != 10 {
			t.Errorf("%s: rate %v, %t", text, limit, ok)
		}
	}
}

func TestTailLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		limit time.Duration
		share float64
	}{
		"p99<500ms": {500 * time.Millisecond, 0.01}, "total.p90<=2s": {2 * time.Second, 0.1}, "p100<1s": {}, "max<1s": {},
		"poll-lag.p99<1s": {}, "queue.p99<1s": {}, "errors<1%": {}, "rate>10": {},
	} {
		c, err := slo.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		limit, share, ok := c.TailLimit()
		if limit != want.limit || math.Abs(share-want.share) > 1e-9 || ok != (want.limit > 0) {
			t.Errorf("%s: %s, %v, %v; want %+v", text, limit, share, ok, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"p99<500ms", "poll-lag.max>=1s", "errors<1%", "rate>10/s"} {
		f.Add(text)
	}
	s, _ := resulttest.Run(resulttest.Noon, 3)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := slo.Parse(text)
		if err != nil {
			return
		}
		if again, err := slo.Parse(c.String()); err != nil || again.Check(s).String() != c.Check(s).String() {
			t.Errorf("%q is written %q, which is read as %v, %v", text, c, again, err)
		}
	})
}
