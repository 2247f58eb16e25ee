package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// maxLabelsBytes limits a replica's response to GET /labels.
const maxLabelsBytes = 4 << 20

// Labels returns the classes of a model of the healthy endpoints, of the first default model that they report if model is
// empty. It asks one of them, once for each model. The errors are *Error: CodeNotFound with the models that there are,
// CodeUnavailable if no endpoint is healthy or it does not answer, CodeUnsuited if it does not know its classes.
func (p *Pool) Labels(ctx context.Context, model string) (resnet18cloud.Labels, error) {
	url, weights, err := p.labelled(model)
	if err != nil {
		return resnet18cloud.Labels{}, err
	}
	p.mu.Lock()
	known, ok := p.labels[weights]
	p.mu.Unlock()
	if ok {
		return known, nil
	}
	asked, cancel := context.WithTimeout(ctx, p.cfg.ProbeTimeout)
	defer cancel()
	l, err := p.askLabels(asked, url, model)
	if err != nil {
		if ctx.Err() != nil {
			return l, context.Cause(ctx)
		}
		if resnet18cloud.AsError(err).Code == resnet18cloud.CodeNotFound {
			p.recheck(ctx, []string{url}) // it had the model a moment ago
		}
		return l, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := range p.labels {
		if !p.answering.uses(other) {
			delete(p.labels, other)
		}
	}
	if weights.Weights != "" && l.Model == weights.Weights { // otherwise it has changed meanwhile
		p.labels[weights] = l
	}
	return l, nil
}

// labelled returns the healthy endpoint to ask, and what it reported of its model.
func (p *Pool) labelled(model string) (url string, weights Model, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.list() {
		if !e.Healthy {
			continue
		}
		m, ok := find(e.models, model)
		switch {
		case !ok && model != "":
			continue
		case e.doubted: // it is not known which model will answer
			return e.URL, Model{}, nil
		case model == "":
			return e.URL, Model{e.Model, e.Precision, e.hash}, nil
		}
		return e.URL, modelOf(m), nil
	}
	return "", Model{}, p.lacking(model, nil)
}

// askLabels requests a replica's labels and checks them.
func (p *Pool) askLabels(ctx context.Context, url, model string) (l resnet18cloud.Labels, err error) {
	want := resnet18cloud.Want{Model: model}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/labels?"+want.Query().Encode(), nil)
	if err != nil {
		return l, err
	}
	access.SetBearer(req.Header, p.cfg.Token())
	resp, err := p.client.Do(req)
	if err != nil {
		return l, replicaError(resnet18cloud.CodeUnavailable, url, err, "A replica does not tell its labels")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLabelsBytes))
	switch {
	case err != nil:
		return l, replicaError(resnet18cloud.CodeUnavailable, url, err, "A replica does not tell its labels")
	case resp.StatusCode == http.StatusNotFound && model != "":
		return l, reply{resp.StatusCode, "", body}.noModel(url)
	case resp.StatusCode == http.StatusNotFound:
		return l, replicaError(resnet18cloud.CodeUnsuited, url, fmt.Errorf("status %d", resp.StatusCode), "The replicas do not tell their labels")
	case resp.StatusCode != http.StatusOK:
		return l, replicaError(resnet18cloud.CodeUnavailable, url, fmt.Errorf("status %d", resp.StatusCode), "A replica does not tell its labels")
	}
	if err = json.Unmarshal(body, &l); err == nil {
		err = checkLabels(l)
	}
	if err != nil {
		return resnet18cloud.Labels{}, replicaError(resnet18cloud.CodeUnavailable, url, err, "A replica told labels that are not valid")
	}
	return l, nil
}

// checkLabels returns an error for labels that no model has.
func checkLabels(l resnet18cloud.Labels) error {
	if l.Classes < 0 || l.Classes > resnet18cloud.MaxTopK {
		return fmt.Errorf("%d classes, want 0 to %d", l.Classes, resnet18cloud.MaxTopK)
	}
	if n := len(l.Labels); n != l.Classes && n != 0 {
		return fmt.Errorf("%d labels for %d classes", n, l.Classes)
	}
	for _, text := range append([]string{l.Model, l.Activation}, l.Labels...) {
		if n := len(text); n > maxTextBytes {
			return fmt.Errorf("a text of %d bytes, want at most %d", n, maxTextBytes)
		}
		if strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("control characters in %.80q", text)
		}
	}
	return nil
}
