package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// Limits on how much of a response to a probe is read. A folder may have 10,000 files of models.
const (
	maxProbeBytes  = 64 << 10
	maxModelsBytes = 8 << 20
)

// told is what a replica tells of itself.
type told struct {
	info
	models *resnet18cloud.Models // nil if it does not list them
}

// probe checks whether the replica is ready, and reads its info and its models.
func (p *Pool) probe(ctx context.Context, endpoint string) (told, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ProbeTimeout)
	defer cancel()
	found, err := p.ask(ctx, endpoint)
	if probeEvent(err) == probeUnanswered {
		err = fmt.Errorf("no response to a probe within %s: %w", p.cfg.ProbeTimeout, err)
	}
	return found, err
}

// ask sends the requests of a probe.
func (p *Pool) ask(ctx context.Context, endpoint string) (told, error) {
	// The prototype's replica has no /health/ready: a 404 shows that it is alive.
	if status, err := p.get(ctx, endpoint+"/health/ready", maxProbeBytes, nil); err != nil {
		return told{}, err
	} else if status != http.StatusOK && status != http.StatusNotFound {
		return told{}, fmt.Errorf("GET %s/health/ready returned status %d", endpoint, status)
	}
	var found struct {
		info
		ModelInfo resnet18cloud.ModelInfo `json:"model_info"`
		Endpoints []string                `json:"endpoints"`
	}
	status, err := p.get(ctx, endpoint+"/info", maxProbeBytes, &found)
	if err == nil {
		err = answered(endpoint+"/info", status)
	}
	found.Hash = found.ModelInfo.Version
	if err == nil {
		err = found.check()
	}
	t := told{info: found.info}
	if err != nil || !slices.Contains(found.Endpoints, "/models") {
		return t, err
	}
	var models struct {
		Default string    `json:"default"`
		Models  modelList `json:"models"`
		Problem string    `json:"problem"`
	}
	status, err = p.get(ctx, endpoint+"/models", maxModelsBytes, &models)
	if err == nil {
		err = answered(endpoint+"/models", status)
	}
	if err != nil || status != http.StatusOK {
		return t, err
	}
	t.models = tidy(resnet18cloud.Models{Default: models.Default, Models: models.Models, Problem: models.Problem})
	if m, ok := find(t.models, ""); ok { // at the same moment as the others
		t.Weights, t.Precision, t.Hash = m.Identity, m.Precision, m.Hash
	}
	return t, t.check()
}

// maxModels is how many models a replica may list: more than the files of a folder and what is loaded besides.
const maxModels = 1 << 14

// modelList are the models that a replica lists. It takes no more memory for entries than [maxModels] need: two bytes of JSON
// are enough for an entry of some hundred bytes.
type modelList []resnet18cloud.ModelStatus

// UnmarshalJSON implements [json.Unmarshaler].
func (l *modelList) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(errors.New("models is not a list"), err)
	}
	for d.More() {
		if len(*l) == maxModels {
			return fmt.Errorf("it lists more than %d models", maxModels)
		}
		var m resnet18cloud.ModelStatus
		if err := d.Decode(&m); err != nil {
			return err
		}
		*l = append(*l, m)
	}
	return nil
}

// answered returns an error for a status that no replica returns that can be used.
func answered(url string, status int) error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("GET %s returned status %d: the replica requires a key with scope predict; see --replica-token-file", url, status)
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("GET %s returned status %d", url, status)
	}
	return nil
}

// get decodes a JSON response of at most limit bytes into v if the status is 200, and returns the status.
func (p *Pool) get(ctx context.Context, url string, limit int64, v any) (int, error) {
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
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return 0, fmt.Errorf("GET %s: %w", url, err)
	}
	if v != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, v); err != nil {
			return 0, &claimError{url[strings.LastIndex(url, "/"):], clip(err.Error(), maxInfoBytes)} // a number is repeated in full
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
