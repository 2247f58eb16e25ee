package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sample is what the server said of itself at one moment.
type Sample struct {
	At         time.Duration      // since the start of the run
	HasStatus  bool               // whether there was a dispatcher's /status; without it the next three say nothing
	Queue      int                // images waiting
	Processing int                // images that replicas have
	Replicas   int                // healthy ones
	Metrics    map[string]float64 // values of /metrics, summed over labels; nil when there are none
}

// Probe looks at a server once a second while it is loaded. What it cannot get it leaves out: a server that
// is too busy to say how it is has said enough.
type Probe struct {
	Client  *http.Client
	Status  string // URL of a dispatcher's GET /status; empty for none
	Metrics string // URL of Prometheus' text; empty for none
}

// sampleEvery is the distance of samples in time, and how long one may take.
const sampleEvery = time.Second

// run calls add until ctx ends.
func (p Probe) run(ctx context.Context, clock func() time.Duration, add func(Sample)) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		if s, ok := p.sample(ctx); ok {
			s.At = clock()
			add(s)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sample asks once; it is not ok when neither address answered.
func (p Probe) sample(ctx context.Context) (s Sample, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	if data, err := p.get(ctx, p.Status); err == nil {
		ok = s.readStatus(data) == nil
	}
	if data, err := p.get(ctx, p.Metrics); err == nil {
		s.Metrics = parseMetrics(data)
		ok = ok || s.Metrics != nil
	}
	return s, ok
}

func (p Probe) get(ctx context.Context, url string) ([]byte, error) {
	if url == "" {
		return nil, http.ErrMissingFile
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := p.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
}

// readStatus reads the fields of a dispatcher's /status; the prototype's lacks the endpoints.
func (s *Sample) readStatus(data []byte) error {
	var body struct {
		QueueSize  *int `json:"queue_size"`
		Processing int  `json:"processing"`
		Endpoints  []struct {
			Healthy bool `json:"healthy"`
		} `json:"endpoints"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	if body.QueueSize == nil {
		return fmt.Errorf("no queue_size")
	}
	s.HasStatus, s.Queue, s.Processing = true, *body.QueueSize, body.Processing
	for _, e := range body.Endpoints {
		if e.Healthy {
			s.Replicas++
		}
	}
	return nil
}

// parseMetrics sums the samples of each metric in Prometheus' text format over their labels; buckets of
// histograms, and the exporter's own runtime, are left out. Lines it does not understand are skipped.
func parseMetrics(data []byte) map[string]float64 {
	var sums map[string]float64
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		end := strings.IndexAny(text, "{ ")
		if end <= 0 {
			continue
		}
		name, rest := text[:end], text[end:]
		if i := strings.LastIndexByte(rest, '}'); i >= 0 {
			rest = rest[i+1:]
		}
		fields := strings.Fields(rest) // value, and perhaps a time
		if len(fields) == 0 || strings.HasSuffix(name, "_bucket") || strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || value-value != 0 { // JSON has neither infinities nor NaN
			continue
		}
		if sums == nil {
			sums = map[string]float64{}
		}
		if sum := sums[name] + value; sum-sum == 0 {
			sums[name] = sum
		}
	}
	return sums
}
