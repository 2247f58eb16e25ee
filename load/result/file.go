package result

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// format identifies the files that Summary writes, and their version.
const format = "resnet18cloud/loadtest/1"

// document is a Summary as JSON. Times are in seconds. Histograms are of microseconds, in HdrHistogram's V2 compressed
// encoding in base64, which all its ports read.
type document struct {
	Format   string              `json:"format"`
	Started  time.Time           `json:"started"`
	Elapsed  float64             `json:"elapsed"`
	Schedule string              `json:"schedule"`
	Target   string              `json:"target"`
	Workers  int                 `json:"workers"`
	Machines int                 `json:"machines"`
	Settings []Setting           `json:"settings,omitempty"`
	Sent     int                 `json:"sent"`
	OK       int                 `json:"ok"`
	Cached   int                 `json:"cached"`
	Checked  int                 `json:"checked"` // labels compared with expected ones
	Late     int                 `json:"late"`
	Rate     float64             `json:"rate"`             // successful answers per second
	Models   map[string]int      `json:"models,omitempty"` // answers by model
	Errors   map[string]int      `json:"errors"`
	Examples map[string]string   `json:"samples"`
	Spans    map[string]spanJSON `json:"spans"`
	Timeline []secondJSON        `json:"timeline"`
	Server   []sampleJSON        `json:"server,omitempty"`
}

type spanJSON struct {
	Count       int                `json:"count"`
	Mean        float64            `json:"mean"`
	Max         float64            `json:"max"`
	Percentiles map[string]float64 `json:"percentiles"`
	// Unsure lists the percentiles with fewer than ten observations beyond them.
	Unsure    []string `json:"unsure,omitempty"`
	Histogram string   `json:"histogram"`
}

type secondJSON struct {
	Second    int            `json:"second"`
	Offered   int            `json:"offered"`
	Sent      int            `json:"sent"`
	Answered  int            `json:"answered"`
	Cached    int            `json:"cached,omitempty"` // part of answered
	Failed    int            `json:"failed"`
	Errors    map[string]int `json:"errors,omitempty"`
	P50       float64        `json:"p50"`
	P99       float64        `json:"p99"`
	Max       float64        `json:"max"`
	Histogram string         `json:"histogram,omitempty"` // of all answers
	// The two parts of Histogram, if some answers came from the cache.
	Computed   string `json:"computed_histogram,omitempty"`
	FromCached string `json:"cached_histogram,omitempty"`
}

type sampleJSON struct {
	At float64 `json:"at"`
	// These three are missing if there is no /status.
	Queue      *int               `json:"queue,omitempty"`
	Processing *int               `json:"processing,omitempty"`
	Replicas   *int               `json:"replicas,omitempty"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
}

// MarshalJSON encodes the complete summary: UnmarshalJSON restores it.
func (s *Summary) MarshalJSON() ([]byte, error) {
	d := document{
		Format: format, Started: s.Started, Elapsed: s.Elapsed.Seconds(), Schedule: s.Schedule, Target: s.Target,
		Workers: s.Workers, Machines: s.Machines, Settings: s.Settings, Sent: s.Sent, OK: s.OK, Cached: s.Cached, Checked: s.Checked, Late: s.Late, Rate: s.Rate(),
		Models: s.Models, Errors: s.Errors, Examples: s.Examples, Spans: map[string]spanJSON{},
	}
	for name, h := range s.spans {
		if h.TotalCount() == 0 {
			continue
		}
		j := spanJSON{Count: s.Count(name), Mean: s.Mean(name).Seconds(), Max: s.Max(name).Seconds(), Percentiles: map[string]float64{}}
		for _, p := range Percentiles {
			key := "p" + strconv.FormatFloat(p, 'g', -1, 64)
			j.Percentiles[key] = s.Percentile(name, p).Seconds()
			if !EnoughSamples(j.Count, p) {
				j.Unsure = append(j.Unsure, key)
			}
		}
		var err error
		if j.Histogram, err = encodeHistogram(h); err != nil {
			return nil, err
		}
		d.Spans[name] = j
	}
	for i := range s.Timeline {
		j, err := s.Timeline[i].document()
		if err != nil {
			return nil, err
		}
		j.Second = i
		d.Timeline = append(d.Timeline, j)
	}
	for _, m := range s.Server {
		j := sampleJSON{At: m.At.Seconds(), Metrics: m.Metrics}
		if m.HasStatus {
			j.Queue, j.Processing, j.Replicas = &m.Queue, &m.Processing, &m.Replicas
		}
		d.Server = append(d.Server, j)
	}
	return json.Marshal(d)
}

// document is the second as JSON, without its number.
func (s *Second) document() (j secondJSON, err error) {
	j = secondJSON{
		Offered: s.Offered, Sent: s.Sent, Answered: s.Answered, Cached: s.Cached, Failed: s.Failed, Errors: s.Errors,
		P50: s.Percentile(50).Seconds(), P99: s.Percentile(99).Seconds(), Max: s.Max().Seconds(),
	}
	if j.Histogram, err = encodeHistogram(s.all()); err != nil || s.cached == nil {
		return j, err
	}
	if j.FromCached, err = encodeHistogram(s.cached); err != nil {
		return j, err
	}
	j.Computed, err = encodeHistogram(s.computed)
	return j, err
}

// read sets the second to what its JSON says.
func (s *Second) read(j secondJSON) (err error) {
	s.Offered, s.Sent, s.Answered, s.Cached, s.Failed, s.Errors = j.Offered, j.Sent, j.Answered, j.Cached, j.Failed, j.Errors
	computed := j.Computed
	if j.FromCached == "" {
		computed = j.Histogram // all were computed, or it is not known which
	} else if s.cached, err = decodeHistogram(j.FromCached); err != nil {
		return err
	}
	if computed != "" {
		s.computed, err = decodeHistogram(computed)
	}
	return err
}

func encodeHistogram(h *hdrhistogram.PackedHistogram) (string, error) {
	if h == nil || h.TotalCount() == 0 {
		return "", nil
	}
	data, err := h.Encode()
	if err != nil {
		return "", fmt.Errorf("encode histogram: %w", err)
	}
	return string(data), nil
}

// decodeHistogram refuses histograms with another range or precision: they do not merge without loss.
func decodeHistogram(text string) (*hdrhistogram.PackedHistogram, error) {
	if text == "" {
		return newHistogram(), nil
	}
	h, err := hdrhistogram.DecodePacked([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("decode histogram: %w", err)
	}
	if h.LowestTrackableValue() != lowest || h.HighestTrackableValue() != highest || h.SignificantFigures() != digits {
		return nil, errors.New("histogram has another range or precision than this tester's")
	}
	return h, nil
}

// UnmarshalJSON decodes what MarshalJSON has encoded.
func (s *Summary) UnmarshalJSON(data []byte) error {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	if d.Format != format {
		return fmt.Errorf("not the result of a load test: format is %q, want %q", d.Format, format)
	}
	if !(d.Elapsed >= 0 && d.Elapsed <= longest.Seconds()) {
		return fmt.Errorf("elapsed is %v seconds", d.Elapsed)
	}
	*s = *NewSummary()
	s.Started, s.Elapsed, s.Schedule, s.Target = d.Started, inSeconds(d.Elapsed), d.Schedule, d.Target
	s.Settings = d.Settings
	s.Workers, s.Machines, s.Sent, s.OK, s.Cached, s.Checked, s.Late = d.Workers, d.Machines, d.Sent, d.OK, d.Cached, d.Checked, d.Late
	if d.Models != nil {
		s.Models = d.Models
	}
	if d.Errors != nil {
		s.Errors = d.Errors
	}
	if d.Examples != nil {
		s.Examples = d.Examples
	}
	var err error
	for name := range s.spans {
		if s.spans[name], err = decodeHistogram(d.Spans[name].Histogram); err != nil {
			return fmt.Errorf("span %q: %w", name, err)
		}
	}
	if _, split := d.Spans[SpanComputed]; !split && d.Cached == 0 { // a file of an older version
		if s.spans[SpanComputed], err = decodeHistogram(d.Spans[SpanTotal].Histogram); err != nil {
			return fmt.Errorf("span %q: %w", SpanTotal, err)
		}
	}
	for _, j := range d.Timeline {
		if j.Second < 0 || j.Second > int(longest/time.Second) {
			return fmt.Errorf("second %d of the timeline is out of range", j.Second)
		}
		if err := s.at(time.Duration(j.Second) * time.Second).read(j); err != nil {
			return fmt.Errorf("second %d: %w", j.Second, err)
		}
	}
	for _, m := range d.Server {
		sample := Sample{At: inSeconds(m.At), Metrics: m.Metrics}
		if m.Queue != nil && m.Processing != nil && m.Replicas != nil {
			sample.HasStatus, sample.Queue, sample.Processing, sample.Replicas = true, *m.Queue, *m.Processing, *m.Replicas
		}
		s.Server = append(s.Server, sample)
	}
	return nil
}

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// WriteFile writes the summary to a file as JSON.
func (s *Summary) WriteFile(path string) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// ReadFile reads a file of WriteFile, or sums up the records of a RecordWriter.
func ReadFile(path string) (*Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	defer f.Close()
	s, err := read(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("read result %s: %w", path, err)
	}
	return s, nil
}

func read(r io.Reader) (*Summary, error) {
	d := json.NewDecoder(r)
	s := NewSummary()
	for n := 1; ; n++ {
		var value json.RawMessage
		err := d.Decode(&value)
		if errors.Is(err, io.EOF) && n > 1 {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("value %d: %w; want a file of loadtest --json or --records", n, err)
		}
		var head struct {
			Format string         `json:"format"`
			Header *Header        `json:"run"`
			File   *string        `json:"file"`
			End    *time.Duration `json:"end"`
		}
		if err := json.Unmarshal(value, &head); err != nil {
			return nil, fmt.Errorf("value %d: %w", n, err)
		}
		switch {
		case n == 1 && head.Format != "":
			return s, json.Unmarshal(value, s)
		case n == 1 && head.Header != nil:
			s.SetHeader(*head.Header)
		case head.File != nil:
			var record Record
			if err := json.Unmarshal(value, &record); err != nil {
				return nil, fmt.Errorf("value %d: %w", n, err)
			}
			s.Add(record)
			s.Elapsed = max(s.Elapsed, record.Done)
		case head.End != nil:
			s.Elapsed = max(s.Elapsed, *head.End)
		default:
			return nil, fmt.Errorf("value %d is neither a result nor a record of a load test; want a file of loadtest --json or --records", n)
		}
	}
}
