//go:build hold

package hold

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// latencies are the latencies of well-behaved clients.
type latencies struct {
	took   []time.Duration
	errors map[string]int
}

func (f *latencies) add(other latencies) {
	f.took = append(f.took, other.took...)
	for e, n := range other.errors {
		if f.errors == nil {
			f.errors = map[string]int{}
		}
		f.errors[e] += n
	}
}

func (f latencies) quantile(q float64) time.Duration {
	slices.Sort(f.took)
	return f.took[int(q*float64(len(f.took)-1))]
}

func (f latencies) String() string {
	s := fmt.Sprintf("%d requests, p50 %s, p99 %s, most %s", len(f.took), round(f.quantile(0.5)), round(f.quantile(0.99)), round(f.quantile(1)))
	if len(f.errors) > 0 {
		s += fmt.Sprint(", errors ", f.errors)
	}
	return s
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// uploads counts the uploads of this process, to make each unique.
var uploads atomic.Int64

// measure sends the given number of images per second, on schedule, half of them on new connections, and checks each
// time whether the server is ready.
func measure(t *testing.T, addr string, perSecond int, d time.Duration) latencies {
	t.Helper()
	kept := &http.Transport{MaxIdleConnsPerHost: 100}
	defer kept.CloseIdleConnections()
	clients := []*http.Client{{Transport: kept, Timeout: time.Minute}, {Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}}
	var mu sync.Mutex
	var f latencies
	f.errors = map[string]int{}
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := range int(d.Seconds() * float64(perSecond)) {
		due := <-tick.C
		all.Go(func() {
			body := fmt.Appendf(bytes.Clone(picture), "%012d", uploads.Add(1))
			err := post(clients[i%2], "http://"+addr+"/predict", body)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			f.took = append(f.took, took)
			if err != nil {
				f.errors[err.Error()]++
			}
		})
	}
	all.Wait()
	return f
}

// post sends an image and expects 200.
func post(client *http.Client, url string, image []byte) error {
	response, err := client.Post(url, "image/jpeg", bytes.NewReader(image))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%d %s", response.StatusCode, text)
	}
	return err
}
