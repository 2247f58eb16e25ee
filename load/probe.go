package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Probe samples the state of a server once a second during a run. It omits what it cannot get: an overloaded server may
// not answer in time.
type Probe struct {
	Client  *http.Client
	Status  string // URL of a dispatcher's GET /status; may be empty
	Metrics string // URL of metrics in Prometheus' text format; may be empty
	// Header is added to requests to Host. Another host must not see the token in it.
	Header http.Header
	Host   string
}

// sampleEvery is the interval between samples, and the timeout of each.
const sampleEvery = time.Second

// maxProbeBytes is the most that is read of /status and /metrics.
const maxProbeBytes = 4 << 20

// run calls add until ctx ends.
func (p Probe) run(ctx context.Context, clock func() time.Duration, add func(result.Sample)) {
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

// sample takes one sample. It is not ok if neither URL answered.
func (p Probe) sample(ctx context.Context) (s result.Sample, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	if data, err := p.get(ctx, p.Status); err == nil {
		ok = readStatus(data, &s) == nil
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
	if request.URL.Host == p.Host {
		maps.Copy(request.Header, p.Header)
	}
	response, err := p.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxProbeBytes))
}

// readStatus reads the fields of a dispatcher's /status. The prototype's has no endpoints.
func readStatus(data []byte, s *result.Sample) error {
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
		return errors.New("no queue_size")
	}
	s.HasStatus, s.Queue, s.Processing = true, *body.QueueSize, body.Processing
	for _, e := range body.Endpoints {
		if e.Healthy {
			s.Replicas++
		}
	}
	return nil
}

// parseMetrics reads Prometheus' text format and sums each metric over its labels. It omits buckets of histograms and the
// metrics of Go's runtime, and skips lines that it cannot parse.
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
