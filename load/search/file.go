package search

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

// format identifies the files that Result writes, and their version.
const format = "resnet18cloud/loadtest-search/1"

type document struct {
	Format   string      `json:"format"`
	SLO      []string    `json:"slo"`
	Rate     float64     `json:"rate"`     // the highest that holds, in requests per second
	Capacity float64     `json:"capacity"` // answers per second
	Open     bool        `json:"open,omitempty"`
	Trials   []trialJSON `json:"trials"`
}

type trialJSON struct {
	Rate     float64         `json:"rate"`
	Holds    bool            `json:"holds"`
	Verdicts []string        `json:"verdicts"`
	Result   *result.Summary `json:"result"`
}

// WriteFile writes the result as JSON, with the summary of each trial.
func (r *Result) WriteFile(path string) error {
	d := document{Format: format, Rate: r.Rate, Capacity: r.Capacity(), Open: r.Open}
	for i, t := range r.Trials {
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

// ReadFile reads a file of WriteFile. It checks the conditions again.
func ReadFile(path string) (*Result, error) {
	r, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read search %s: %w", path, err)
	}
	return r, nil
}

func readFile(path string) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%w; want a file of loadtest --search --json", err)
	}
	if d.Format != format {
		return nil, fmt.Errorf("not a file of loadtest --search --json: format is %q, want %q", d.Format, format)
	}
	var conditions []slo.Condition
	for _, text := range d.SLO {
		c, err := slo.Parse(text)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, c)
	}
	r := &Result{Rate: d.Rate, Open: d.Open}
	for i, j := range d.Trials {
		if j.Result == nil {
			return nil, fmt.Errorf("trial %d has no result", i+1)
		}
		t := Trial{Rate: j.Rate, Holds: j.Holds, Summary: j.Result}
		for _, c := range conditions {
			t.Verdicts = append(t.Verdicts, c.Check(j.Result))
		}
		r.Trials = append(r.Trials, t)
	}
	return r, nil
}
