package result_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/result/resulttest"
)

// asJSON is everything a summary holds.
func asJSON(t *testing.T, s *result.Summary) string {
	t.Helper()
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	s, _ := resulttest.Run(resulttest.Noon, 30)
	if len(s.Timeline) != 3 {
		t.Fatalf("%d seconds, want 3", len(s.Timeline))
	}
	// The first request is due in the first second, but sent and answered in the second one.
	want := []result.Second{
		{Offered: 10, Sent: 9, Answered: 8, Failed: 1, Errors: map[string]int{"full": 1}},
		{Offered: 10, Sent: 11, Answered: 10, Failed: 1, Errors: map[string]int{"full": 1}},
		{Offered: 10, Sent: 10, Answered: 9, Failed: 1, Errors: map[string]int{"full": 1}},
	}
	for i, w := range want {
		got := s.Timeline[i]
		if got.Offered != w.Offered || got.Sent != w.Sent || got.Answered != w.Answered || got.Failed != w.Failed || !cmp.Equal(got.Errors, w.Errors) {
			t.Errorf("second %d: %+v, want %+v", i, got, w)
		}
	}
	if got := s.Timeline[0].Max(); got < time.Second || got > 1001*time.Millisecond {
		t.Errorf("longest of those due in the first second: %s, want that of the late one, 1 s", got)
	}
	if got := s.Timeline[2].Percentile(50); (got - 25*time.Millisecond).Abs() > 25*time.Microsecond {
		t.Errorf("median of the third second: %s, want 25ms: the fifth of 21..29", got)
	}
}

// TestPercentileAll: failed requests never end. Of 30 requests three failed, so 27 have a finite latency.
func TestPercentileAll(t *testing.T) {
	t.Parallel()
	s, _ := resulttest.Run(resulttest.Noon, 30)
	for _, c := range []struct {
		percent float64
		want    time.Duration
	}{
		{90, time.Second}, // the 27th of 30: the late one
		{50, 17 * time.Millisecond},
		{91, time.Second}, // 27.3 is rounded
		{92, result.Never},
		{99, result.Never},
	} {
		if got := s.PercentileAll(c.percent); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("PercentileAll(%v) = %s, want %s", c.percent, got, c.want)
		}
	}
}

func TestFileKeepsEverything(t *testing.T) {
	t.Parallel()
	s, _ := resulttest.Run(resulttest.Noon, 30)
	s.Server = []result.Sample{{HasStatus: true, At: time.Second, Queue: 3, Processing: 2, Replicas: 1, Metrics: map[string]float64{"up": 1}}}
	path := filepath.Join(t.TempDir(), "a.json")
	if err := s.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := result.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Server, got.Server); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(asJSON(t, s), asJSON(t, got)); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestRecordsAddUpToTheSame(t *testing.T) {
	t.Parallel()
	s, records := resulttest.Run(resulttest.Noon, 30)
	s.Settings = []result.Setting{{Name: "seed", Value: "7"}}
	var stream bytes.Buffer
	w := result.NewRecordWriter(&stream)
	w.Begin(result.Header{Started: s.Started, Schedule: s.Schedule, Target: s.Target, Settings: s.Settings})
	for _, r := range records {
		w.Write(r)
	}
	s.Elapsed = 4 * time.Second // the schedule went on after the last request
	w.End(s.Elapsed)
	path := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(path, stream.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := result.ReadFile(path)
	if err != nil || w.Err() != nil {
		t.Fatal(err, w.Err())
	}
	if diff := cmp.Diff(asJSON(t, s), asJSON(t, got)); diff != "" {
		t.Errorf("added up again (-want +got):\n%s", diff)
	}
}

// TestRecordsWithoutTheirEnd: a run that was killed lasted until its last record.
func TestRecordsWithoutTheirEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(path, []byte(`{"run":{"schedule":"a"}}`+"\n"+`{"file":"a","done":3000000000}`+"\n"+`{"file":"b","done":2000000000}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := result.ReadFile(path)
	if err != nil || got.Elapsed != 3*time.Second || got.Sent != 2 || got.Schedule != "a" {
		t.Errorf("%+v, %v; want 2 requests in 3 s", got, err)
	}
}

// TestMerge joins two machines, of which the second began two seconds later; the order does not matter.
func TestMerge(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"first + second", "second + first"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			a, _ := resulttest.Run(resulttest.Noon, 30)
			b, _ := resulttest.Run(resulttest.Noon.Add(2*time.Second), 40)
			if order == "second + first" {
				a, b = b, a
			}
			if err := a.Merge(b); err != nil {
				t.Fatal(err)
			}
			if a.Sent != 70 || a.OK != 63 || a.Late != 2 || a.Errors["full"] != 7 || a.Machines != 2 || !a.Started.Equal(resulttest.Noon) {
				t.Errorf("merged: %+v", a)
			}
			if want := 2*time.Second + 3*time.Second + 940*time.Millisecond; a.Elapsed != want {
				t.Errorf("elapsed %s, want %s", a.Elapsed, want)
			}
			var offered []int
			for _, second := range a.Timeline {
				offered = append(offered, second.Offered)
			}
			if want := []int{10, 10, 20, 10, 10, 10}; !cmp.Equal(offered, want) {
				t.Errorf("offered per second %v, want %v", offered, want)
			}
			if got := a.Percentile(result.SpanTotal, 100); got < time.Second || a.Count(result.SpanTotal) != 63 {
				t.Errorf("distribution of %d up to %s", a.Count(result.SpanTotal), got)
			}
		})
	}
}

// TestMergeIsExact deals one run's records out to three machines, writes and reads their files, and joins them:
// every histogram is that of the whole run, bit for bit.
func TestMergeIsExact(t *testing.T) {
	t.Parallel()
	_, records := resulttest.Run(resulttest.Noon, 1000)
	r := rand.New(rand.NewPCG(1, 2))
	whole := result.NewSummary()
	var machines [3]*result.Summary
	for i := range machines {
		machines[i] = result.NewSummary()
	}
	for _, record := range records {
		record.Done += time.Duration(r.ExpFloat64() * float64(50*time.Millisecond))
		record.Queue, record.Inference, record.PollLag = time.Duration(r.Int64N(1e9)), time.Duration(r.Int64N(1e8)), time.Duration(r.Int64N(1e7))
		record.FromCache, record.Checked = r.IntN(4) == 0, r.IntN(2) == 0
		record.Model = []string{"", "a fp32", "b int8"}[r.IntN(3)]
		whole.Add(record)
		machines[r.IntN(3)].Add(record)
	}
	var joined *result.Summary
	for _, s := range append(machines[:], whole) {
		s.Started, s.Elapsed, s.Schedule = resulttest.Noon, 5*time.Minute, "constant:10:5m"
	}
	for i, s := range machines {
		path := filepath.Join(t.TempDir(), "a.json")
		if err := s.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		s, err := result.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			joined = s
		} else if err := joined.Merge(s); err != nil {
			t.Fatal(err)
		}
	}
	joined.Machines = 1
	if diff := cmp.Diff(asJSON(t, whole), asJSON(t, joined)); diff != "" {
		t.Errorf("joined (-whole +joined):\n%s", diff)
	}
}

// TestOldFiles reads files of versions that did not keep answers from the cache apart.
func TestOldFiles(t *testing.T) {
	t.Parallel()
	whole, records := resulttest.Run(resulttest.Noon, 30)
	for i := range records {
		records[i].FromCache = i%3 == 0
	}
	mixed := result.NewSummary()
	for _, r := range records {
		mixed.Add(r)
	}
	mixed.Started = resulttest.Noon
	for name, test := range map[string]struct {
		summary  *result.Summary
		computed int // of 27 answers
	}{"no cache": {whole, 27}, "a cache answered": {mixed, 0}} {
		var d map[string]any
		if err := json.Unmarshal([]byte(asJSON(t, test.summary)), &d); err != nil {
			t.Fatal(err)
		}
		for _, span := range []string{result.SpanComputed, result.SpanCached} {
			delete(d["spans"].(map[string]any), span)
		}
		for _, second := range d["timeline"].([]any) {
			for _, field := range []string{"cached", "computed_histogram", "cached_histogram"} {
				delete(second.(map[string]any), field)
			}
		}
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var got result.Summary
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		second := got.Between(0, 3)
		if n, _ := second.Count(); n != 27 || got.Count(result.SpanTotal) != 27 || got.Count(result.SpanComputed) != test.computed || got.Split() || got.Cached != test.summary.Cached {
			t.Errorf("%s: %d answers in the timeline, %d in all, %d computed, split %t", name, n, got.Count(result.SpanTotal), got.Count(result.SpanComputed), got.Split())
		}
	}
}

// TestModels checks that a server that names a new model in each answer takes no more memory.
func TestModels(t *testing.T) {
	t.Parallel()
	s := result.NewSummary()
	for i := range 1000 {
		s.Add(result.Record{Model: fmt.Sprint(i)})
	}
	if n := s.Models["others"]; len(s.Models) != 21 || n != 980 || s.Models["0"] != 1 {
		t.Errorf("%d models, %d answers of others", len(s.Models), n)
	}
	if err := s.Merge(result.NewSummary()); err == nil {
		t.Error("merged without a start")
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*result.Summary){
		"no start time":        func(s *result.Summary) { s.Started = time.Time{} },
		"than a week apart":    func(s *result.Summary) { s.Started = resulttest.Noon.Add(8 * 24 * time.Hour) },
		"more than a week":     func(s *result.Summary) { s.Started = resulttest.Noon.Add(30 * 24 * time.Hour) },
		"one of a closed loop": func(s *result.Summary) { s.Workers = 50 },
	} {
		a, _ := resulttest.Run(resulttest.Noon, 3)
		b, _ := resulttest.Run(resulttest.Noon, 3)
		spoil(b)
		if err := a.Merge(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

func TestReadFileRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "EOF",
		"nonsense":                  "invalid character",
		`{"format":"other"}`:        `format is "other"`,
		`{"a":1}`:                   "neither a result nor a record",
		`{"file":"a"}` + "\n" + `{`: "value 2",
		`{"format":"resnet18cloud/loadtest/1","spans":{"total":{"histogram":"HIST"}}}`:                        `span "total"`,
		`{"format":"resnet18cloud/loadtest/1","timeline":[{"second":99999999}]}`:                              "out of range",
		`{"format":"resnet18cloud/loadtest/1","elapsed":-1}`:                                                  "elapsed",
		`{"format":"resnet18cloud/loadtest/1","spans":{"total":{"histogram":"` + foreignHistogram(t) + `"}}}`: "another range",
	} {
		path := filepath.Join(t.TempDir(), "a.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := result.ReadFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want an error with %q", text, err, want)
		}
	}
	if _, err := result.ReadFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there: no error")
	}
}

func FuzzReadFile(f *testing.F) {
	s, _ := resulttest.Run(resulttest.Noon, 3)
	data, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"run":{"schedule":"a"}}` + "\n" + `{"file":"a","intended":1,"sent":2,"done":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "a.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := result.ReadFile(path)
		if err != nil {
			return
		}
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("read, but cannot be written: %v", err)
		}
	})
}

func foreignHistogram(t *testing.T) string {
	t.Helper()
	h := hdrhistogram.NewPacked(1, 1000, 2)
	if err := h.RecordValue(7); err != nil {
		t.Fatal(err)
	}
	data, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
