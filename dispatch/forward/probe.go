package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// maxProbeBytes limits how much of the response to a probe is read.
const maxProbeBytes = 64 << 10

// probe checks whether the replica is ready, and reads its info.
func (p *Pool) probe(ctx context.Context, endpoint string) (info, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ProbeTimeout)
	defer cancel()
	found, err := p.ask(ctx, endpoint)
	if probeEvent(err) == probeUnanswered {
		err = fmt.Errorf("no response to a probe within %s: %w", p.cfg.ProbeTimeout, err)
	}
	return found, err
}

// ask sends the requests of a probe.
func (p *Pool) ask(ctx context.Context, endpoint string) (info, error) {
	// The prototype's replica has no /health/ready: a 404 shows that it is alive.
	if status, err := p.get(ctx, endpoint+"/health/ready", nil); err != nil {
		return info{}, err
	} else if status != http.StatusOK && status != http.StatusNotFound {
		return info{}, fmt.Errorf("GET %s/health/ready returned status %d", endpoint, status)
	}
	var found info
	status, err := p.get(ctx, endpoint+"/info", &found)
	if err != nil {
		return info{}, err
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return info{}, fmt.Errorf("GET %s/info returned status %d: the replica requires a key with scope predict; see --replica-token-file", endpoint, status)
	case status >= http.StatusInternalServerError:
		return info{}, fmt.Errorf("GET %s/info returned status %d", endpoint, status)
	}
	return found, found.check()
}

// get decodes a small JSON response into v if the status is 200, and returns the status.
func (p *Pool) get(ctx context.Context, url string, v any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	access.SetBearer(req.Header, p.cfg.Token())
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
			return 0, &claimError{clip(err.Error(), maxInfoBytes)} // a number is repeated in full
		}
	}
	return resp.StatusCode, nil
}

// probeEvent distinguishes a replica that did not respond in time from an unreachable host, and from a replica that
// is not running or not ready.
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
