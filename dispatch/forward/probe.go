package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
)

// maxProbeBytes bounds what is read of the answer to a probe.
const maxProbeBytes = 64 << 10

// probe asks whether the replica is ready and what it can do.
func (p *Pool) probe(ctx context.Context, endpoint string) (info, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ProbeTimeout)
	defer cancel()
	found, err := p.ask(ctx, endpoint)
	if probeEvent(err) == probeUnanswered {
		err = fmt.Errorf("no answer to a probe within %s: %w", p.cfg.ProbeTimeout, err)
	}
	return found, err
}

// ask makes the requests of a probe.
func (p *Pool) ask(ctx context.Context, endpoint string) (info, error) {
	// The prototype's replica has no /health/ready: one that answers 404 is alive.
	if status, err := p.get(ctx, endpoint+"/health/ready", nil); err != nil {
		return info{}, err
	} else if status != http.StatusOK && status != http.StatusNotFound {
		return info{}, fmt.Errorf("GET %s/health/ready answered %d", endpoint, status)
	}
	var found info
	status, err := p.get(ctx, endpoint+"/info", &found)
	if err != nil {
		return info{}, err
	}
	if status >= http.StatusInternalServerError {
		return info{}, fmt.Errorf("GET %s/info answered %d", endpoint, status)
	}
	return found.bounded(), nil
}

// get reads a small JSON answer into v, if it is one, and returns the status.
func (p *Pool) get(ctx context.Context, url string, v any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProbeBytes))
	if err != nil {
		return 0, fmt.Errorf("GET %s: %w", url, err)
	}
	if v != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, v); err != nil {
			return 0, fmt.Errorf("GET %s: %w", url, err)
		}
	}
	return resp.StatusCode, nil
}

// probeEvent tells a replica that did not answer in time from one whose host is gone, and from one that is not there
// or not ready.
func probeEvent(err error) eventKind {
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return probeSucceeded
	case errors.As(err, &timeout) && timeout.Timeout():
		return probeUnanswered
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return probeUnreachable
	default:
		return probeFailed
	}
}
