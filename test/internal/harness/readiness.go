package harness

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// sampleInterval is the time between two checks of a dispatcher's readiness.
const sampleInterval = 200 * time.Millisecond

// Sample is one check of GET /health/ready.
type Sample struct {
	At         time.Time // time of the response
	HTTPStatus int       // 0 means no response within 5 s
	Body       string    // of responses other than 200
}

// Readiness samples a dispatcher's readiness. Create it with Watch.
type Readiness struct {
	mu      sync.Mutex
	samples []Sample // guarded by mu
}

// Watch samples a readiness URL until ctx ends. done is called when sampling has ended.
func Watch(ctx context.Context, url string, done func()) *Readiness {
	r := &Readiness{}
	go func() {
		defer done()
		tick := time.NewTicker(sampleInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			s := look(ctx, url)
			if ctx.Err() != nil {
				return
			}
			r.mu.Lock()
			r.samples = append(r.samples, s)
			r.mu.Unlock()
		}
	}()
	return r
}

// Samples returns all samples so far.
func (r *Readiness) Samples() []Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Sample(nil), r.samples...)
}

func look(ctx context.Context, url string) Sample {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Sample{At: time.Now(), Body: err.Error()}
	}
	resp, err := probe.Do(req)
	if err != nil {
		return Sample{At: time.Now(), Body: err.Error()}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // use what was read
	s := Sample{At: time.Now(), HTTPStatus: resp.StatusCode}
	if resp.StatusCode != http.StatusOK {
		s.Body = string(text)
	}
	return s
}
