package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Gauges are the resources in use by a dispatcher's process.
type Gauges struct {
	Goroutines int
	OpenFDs    int
}

// ReadGauges reads them from GET base/metrics.
func ReadGauges(ctx context.Context, base string) (Gauges, error) {
	var g Gauges
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return g, err
	}
	resp, err := probe.Do(req)
	if err != nil {
		return g, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	found := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "go_goroutines":
			g.Goroutines = int(n)
			found++
		case "process_open_fds":
			g.OpenFDs = int(n)
			found++
		}
	}
	if found != 2 {
		return g, fmt.Errorf("read metrics of %s: go_goroutines and process_open_fds not found", base)
	}
	return g, nil
}

// Grown returns an error if more resources are in use than before, beyond what open connections explain.
func (g Gauges) Grown(before Gauges) error {
	const goroutines, fds = 60, 25
	if g.Goroutines > before.Goroutines+goroutines || g.OpenFDs > before.OpenFDs+fds {
		return fmt.Errorf("%d goroutines and %d descriptors, before the load %d and %d", g.Goroutines, g.OpenFDs,
			before.Goroutines, before.OpenFDs)
	}
	return nil
}

// Settled returns an error while the dispatcher has work: images waiting or at replicas, or unfinished requests among
// the thousand most recently changed.
func Settled(ctx context.Context, base string) error {
	var status struct {
		QueueSize  int `json:"queue_size"`
		Processing int `json:"processing"`
	}
	if err := getJSON(ctx, base+"/status", &status); err != nil {
		return err
	}
	if status.QueueSize != 0 || status.Processing != 0 {
		return fmt.Errorf("%s: queue_size %d, processing %d, want 0", base, status.QueueSize, status.Processing)
	}
	var list struct {
		Results []struct {
			RequestID string `json:"request_id"`
			Status    string `json:"status"`
		} `json:"results"`
	}
	if err := getJSON(ctx, base+"/results?limit=1000", &list); err != nil {
		return err
	}
	for _, r := range list.Results {
		if r.Status == "queued" || r.Status == "processing" {
			return fmt.Errorf("%s: request %s is %s", base, r.RequestID, r.Status)
		}
	}
	return nil
}

var reader = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := reader.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", url, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	return nil
}
