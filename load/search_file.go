package load

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// searchFormat names the files that Found writes and their version.
const searchFormat = "resnet18cloud/loadtest-search/1"

type searchDocument struct {
	Format   string      `json:"format"`
	SLO      []string    `json:"slo"`
	Rate     float64     `json:"rate"`     // requests per second, the highest that held
	Capacity float64     `json:"capacity"` // answers per second
	Open     bool        `json:"open,omitempty"`
	Trials   []trialJSON `json:"trials"`
}

type trialJSON struct {
	Rate     float64  `json:"rate"`
	Holds    bool     `json:"holds"`
	Verdicts []string `json:"verdicts"`
	Result   *Summary `json:"result"`
}

// WriteFile writes what a search found, with the result of each trial, as JSON.
func (f *Found) WriteFile(path string) error {
	d := searchDocument{Format: searchFormat, Rate: f.Rate, Capacity: f.Capacity(), Open: f.Open}
	for i, t := range f.Trials {
		j := trialJSON{Rate: t.Rate, Holds: t.Holds, Result: t.Summary}
		for _, v := range t.Verdicts {
			j.Verdicts = append(j.Verdicts, v.String())
			if i == 0 {
				d.SLO = append(d.SLO, v.Condition.String())
			}
		}
		d.Trials = append(d.Trials, j)
	}
	data, err := json.Marshal(d)
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write search: %w", err)
	}
	return nil
}

// ReadFound reads what WriteFile of a search wrote; the verdicts are made anew.
func ReadFound(path string) (*Found, error) {
	f, err := readFound(path)
	if err != nil {
		return nil, fmt.Errorf("read search %s: %w", path, err)
	}
	return f, nil
}

func readFound(path string) (*Found, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var d searchDocument
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%w; want a file of loadtest --search --json", err)
	}
	if d.Format != searchFormat {
		return nil, fmt.Errorf("no file of loadtest --search --json: format is %q, want %q", d.Format, searchFormat)
	}
	var slo []Condition
	for _, text := range d.SLO {
		c, err := ParseCondition(text)
		if err != nil {
			return nil, err
		}
		slo = append(slo, c)
	}
	f := &Found{Rate: d.Rate, Open: d.Open}
	for i, j := range d.Trials {
		if j.Result == nil {
			return nil, fmt.Errorf("trial %d has no result", i+1)
		}
		t := Trial{Rate: j.Rate, Holds: j.Holds, Summary: j.Result}
		for _, c := range slo {
			t.Verdicts = append(t.Verdicts, c.Check(j.Result))
		}
		f.Trials = append(f.Trials, t)
	}
	return f, nil
}

// best is the last trial at the rate that was found; nil when there is none.
func (f *Found) best() *Trial {
	for i := len(f.Trials) - 1; i >= 0; i-- {
		if t := &f.Trials[i]; t.Holds && t.Rate == f.Rate {
			return t
		}
	}
	return nil
}

// Best is the result of the last trial at the rate that was found; of the last trial when none held; nil
// without trials.
func (f *Found) Best() *Summary {
	if t := f.best(); t != nil {
		return t.Summary
	}
	if n := len(f.Trials); n > 0 {
		return f.Trials[n-1].Summary
	}
	return nil
}

// ReplicaCost is what an image cost the replica in the trial at the rate that was found, if the metrics beside
// it were a replica's: CPU seconds per image, and the most memory it had.
func (f *Found) ReplicaCost() (cpuSeconds float64, memoryBytes float64, ok bool) {
	t := f.best()
	if t == nil {
		return 0, 0, false
	}
	const cpu, memory = "process_cpu_seconds_total", "process_resident_memory_bytes"
	var first, last *Sample
	for i := range t.Summary.Server {
		s := &t.Summary.Server[i]
		if !ofReplica(s.Metrics) {
			continue
		}
		if first == nil {
			first = s
		}
		last = s
		memoryBytes = max(memoryBytes, s.Metrics[memory])
	}
	if first == nil || last == first {
		return 0, 0, false
	}
	answered := 0
	for i := int(first.At / time.Second); i < int(last.At/time.Second) && i < len(t.Summary.Timeline); i++ {
		answered += t.Summary.Timeline[i].Answered
	}
	if answered == 0 {
		return 0, 0, false
	}
	return (last.Metrics[cpu] - first.Metrics[cpu]) / float64(answered), memoryBytes, true
}

func ofReplica(metrics map[string]float64) bool {
	for name := range metrics {
		if strings.HasPrefix(name, "resnet18_replica_") {
			return true
		}
	}
	return false
}

// Limit is the first condition on a percentile of the total, as a duration and the share of requests that may
// take longer; a plan is made for it.
func (f *Found) Limit() (limit time.Duration, share float64, ok bool) {
	if len(f.Trials) == 0 {
		return 0, 0, false
	}
	for _, v := range f.Trials[0].Verdicts {
		c := v.Condition
		if c.percent > 0 && c.percent < 100 && (strings.HasPrefix(c.text, "p") && !strings.HasPrefix(c.text, "poll") || strings.HasPrefix(c.text, SpanTotal)) {
			return time.Duration(c.limit * float64(time.Second)), 1 - c.percent/100, true
		}
	}
	return 0, 0, false
}
