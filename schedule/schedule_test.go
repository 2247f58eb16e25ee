package schedule

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func times(s Schedule, seed uint64) []time.Duration { return slices.Collect(s.Arrivals(seed)) }

func TestPrototypeHas56Seconds(t *testing.T) {
	t.Parallel()
	counts := Prototype.PerSecond()
	if len(counts) != 56 || counts[0] != 4 || counts[7] != 30 || counts[55] != 5 {
		t.Errorf("PerSecond() = %v", counts)
	}
	sum := 0
	for _, c := range counts {
		sum += c
	}
	if got := len(times(Prototype, 1)); got != sum {
		t.Errorf("%d arrivals, want %d", got, sum)
	}
	perSecond := make([]int, 56)
	for at := range Prototype.Arrivals(1) {
		perSecond[int(at/time.Second)]++
	}
	if !slices.Equal(perSecond, counts) {
		t.Errorf("arrivals by second %v, want %v", perSecond, counts)
	}
}

func TestEvenArrivals(t *testing.T) {
	t.Parallel()
	s, err := Parse("2, 0, 4")
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{0, 500, 2000, 2250, 2500, 2750}
	got := times(s, 1)
	if len(got) != len(want) {
		t.Fatalf("arrivals %v, want %v ms", got, want)
	}
	for i := range want {
		if d := got[i] - want[i]*time.Millisecond; d.Abs() > time.Microsecond {
			t.Errorf("arrival %d at %s, want %d ms", i, got[i], want[i])
		}
	}
}

// TestFractionsAddUp: one request in four seconds at a quarter a second, though no second has a whole one.
func TestFractionsAddUp(t *testing.T) {
	t.Parallel()
	if got := len(times(Constant(0.25, 40*time.Second), 1)); got != 10 {
		t.Errorf("%d arrivals at 0.25/s in 40 s, want 10", got)
	}
	if got := len(times(Constant(0.1, 100*time.Second), 1)); got != 10 {
		t.Errorf("%d arrivals at 0.1/s in 100 s, want 10", got)
	}
}

// TestPoisson checks mean and variance of counts and of gaps against the distribution's, within five standard
// errors.
func TestPoisson(t *testing.T) {
	t.Parallel()
	s, err := Parse("poisson:50:400s")
	if err != nil {
		t.Fatal(err)
	}
	got := times(s, 7)
	n := float64(len(got))
	if math.Abs(n-20000) > 5*math.Sqrt(20000) {
		t.Errorf("%v arrivals, want 20000", n)
	}
	if !slices.IsSorted(got) {
		t.Error("arrivals are not in order")
	}
	var sum, squares float64
	for i := 1; i < len(got); i++ {
		gap := (got[i] - got[i-1]).Seconds() * 50
		sum, squares = sum+gap, squares+gap*gap
	}
	mean := sum / (n - 1)
	if variance := squares/(n-1) - mean*mean; math.Abs(mean-1) > 0.04 || math.Abs(variance-1) > 0.1 {
		t.Errorf("gaps have mean %v and variance %v, want 1 and 1 (exponential)", mean, variance)
	}
	if !slices.Equal(got, times(s, 7)) || slices.Equal(got, times(s, 8)) {
		t.Error("want the same times for the same seed, and others for another")
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]float64{
		"constant:3:2s":         {3, 3},
		"constant:3:2":          {3, 3},
		"ramp:0:10:5s":          {1, 3, 5, 7, 9},
		"step:1:9:6s":           {1, 1, 9, 9, 1, 1},
		"spikes:1:9:4s:1s:8s":   {1, 1, 9, 1, 1, 1, 9, 1},
		"sine:10:5:4s:4s":       {10 + 5*math.Sqrt2/2, 10 + 5*math.Sqrt2/2, 10 - 5*math.Sqrt2/2, 10 - 5*math.Sqrt2/2},
		"[4, 8]":                {4, 8},
		"poisson:ramp:0:10:5s":  {1, 3, 5, 7, 9},
		"sine:1:5:4s:4s":        {1 + 5*math.Sqrt2/2, 1 + 5*math.Sqrt2/2, 0, 0},
		"poisson:constant:3:2s": {3, 3},
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if len(s.Rates) != len(want) {
			t.Errorf("%s: rates %v, want %v", text, s.Rates, want)
			continue
		}
		for i := range want {
			if math.Abs(s.Rates[i]-want[i]) > 1e-9 {
				t.Errorf("%s: rates %v, want %v", text, s.Rates, want)
			}
		}
		if s.Poisson != strings.HasPrefix(text, "poisson:") {
			t.Errorf("%s: Poisson = %v", text, s.Poisson)
		}
	}
}

func TestRandomPatterns(t *testing.T) {
	t.Parallel()
	mmpp := MMPP(5, 50, 20*time.Second, 2*time.Hour, 1)
	switches, last := 0, 5.0
	for _, r := range mmpp.Rates {
		if r != 5 && r != 50 {
			t.Fatalf("mmpp has rate %v", r)
		}
		if r != last {
			switches, last = switches+1, r
		}
	}
	if switches < 250 || switches > 450 {
		t.Errorf("mmpp switched %d times in two hours, want about 360", switches)
	}
	twitter := Twitter(20, time.Hour, 1)
	if mean := twitter.Expected() / 3600; mean < 15 || mean > 35 {
		t.Errorf("twitter's mean rate %v, asked for 20 and bursts", mean)
	}
	if slices.Max(twitter.Rates) < 1.8*20 {
		t.Error("twitter has no bursts")
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []float64
	}{
		"heading":         {"second,rate\n0,3\n1,5.5\n\n", []float64{3, 5.5}},
		"no heading":      {"3\n5.5", []float64{3, 5.5}},
		"byte order mark": {"\ufeff3\r\n5.5\r\n", []float64{3, 5.5}},
		"semicolons":      {"second;rate\n0;3\n1;5.5\n", []float64{3, 5.5}},
		"quoted":          {"\"second\",\"rate\"\n\"0\",\"3\"\n\"1\", \"5.5\"\n", []float64{3, 5.5}},
	} {
		path := filepath.Join(t.TempDir(), "rates.CSV")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Parse(path); err != nil || !slices.Equal(s.Rates, c.want) {
			t.Errorf("%s: Parse = %v, %v", name, s.Rates, err)
		}
	}
}

func TestCSVRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"3\nfour\n":                       `line 2: "four" is not a rate`,
		"":                                "is empty",
		"second,rate\n":                   "is empty",
		"0\n0\n":                          "sends nothing",
		"1\n-2\n":                         "rate -2 at step 2",
		"1\nNaN\n":                        "rate NaN at step 2",
		"1\n1e9\n":                        "rate 1e+09 at step 2",
		"1\n" + strings.Repeat("x", 1e6):  "is it a CSV file?",
		strings.Repeat("1\n", maxSteps+9): "want at most 604800",
	} {
		path := filepath.Join(t.TempDir(), "rates.csv")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(path); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 1000 {
			t.Errorf("%.20q: %v, want an error with %q", text, err, want)
		}
	}
	if _, err := Parse(filepath.Join(t.TempDir(), "rates.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"second,rate\n0,3\n1,5.5\n", "\ufeff3;\"4\"\n", "1e309\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := readCSV(strings.NewReader(text))
		if err == nil && len(s.Rates) > strings.Count(text, "\n")+1 {
			t.Errorf("%d rates of %q", len(s.Rates), text)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "is not a number",
		"4,,8":                   "is not a number",
		"-1,2":                   "rate -1 at step 1",
		"NaN":                    "rate NaN",
		"0,0":                    "sends nothing",
		"1e9":                    "1000000 requests per second",
		"constant:5":             "1 arguments, want RATE:DURATION",
		"constant:5:soon":        `DURATION is "soon"`,
		"constant:5:0s":          "want 1 second to a week",
		"constant:5:9000h":       "want 1 second to a week",
		"sine:1:1:0.1s:9s":       "PERIOD is 0.1 seconds",
		"none.csv":               "no such file",
		"poisson:poisson:":       "is not a number",
		"wave:1:2":               `unknown pattern "wave"; want one of constant, mmpp, ramp, sine, spikes, step, twitter, such as`,
		"poisson:wave:1:2":       `unknown pattern "wave"`,
		"ramp":                   "want ramp:FROM:TO:DURATION",
		"constant:1e300:10s":     "from 0 to 1e9",
		"constant:5:1e300":       "from 0 to 1e9",
		"constant:5:-3s":         "from 0 to 1e9",
		"constant:5:99999h":      "want 1 second to a week",
		"constant:5:9999999999h": "DURATION is",
		"constant:NaN:10s":       "RATE is",
		"poisson:1e9:10s":        "1000000 requests per second",
		"twitter:0:10m:1":        "sends nothing",
		"mmpp:1:2:30s:10m:-1":    "SEED is",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1,2,3", "poisson:5:10s", "spikes:1:9:4s:1s:8s", "twitter:20:60s:1", "[4, 8]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.EqualFold(filepath.Ext(text), ".csv") {
			t.Skip("names a file")
		}
		s, err := Parse(text)
		if err != nil {
			return
		}
		last, n := time.Duration(0), 0
		for at := range s.Arrivals(1) {
			if at < last || at > s.Duration() {
				t.Fatalf("%q: arrival at %s after %s in a schedule of %s", text, at, last, s.Duration())
			}
			if last, n = at, n+1; n == 1000 {
				break
			}
		}
	})
}
