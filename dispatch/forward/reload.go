package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// reloadTimeout limits how long replicas read their models. Each takes about a second.
const reloadTimeout = 2 * time.Minute

// Reload makes the healthy endpoints read their folders of models now. When it returns, the pool knows the outcome: no cached
// result of a model that was replaced is used after it. The errors are *Error: CodeConflict with the reasons of files that
// cannot be used, CodeNotFound if no replica has a folder, CodeUnavailable if one did not answer.
func (p *Pool) Reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	var urls []string
	for _, e := range p.Endpoints() {
		if e.Healthy {
			urls = append(urls, e.URL)
		}
	}
	errs := make([]error, len(urls))
	var g errgroup.Group
	for i, url := range urls {
		g.Go(func() error {
			errs[i] = p.reloadOne(ctx, url)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	p.recheck(ctx, urls)
	return reloaded(errs)
}

// reloadOne makes a replica read its folder.
func (p *Pool) reloadOne(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/models/reload", http.NoBody)
	if err != nil {
		return err
	}
	access.SetBearer(req.Header, p.cfg.Token())
	resp, err := p.client.Do(req)
	if err != nil {
		return replicaError(resnet18cloud.CodeUnavailable, url, err, "A replica did not reload its models")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxModelsBytes))
	var said httpx.ErrorBody
	_ = json.Unmarshal(body, &said) // what is no error of ours has no text
	cause := fmt.Errorf("replica %s returned status %d", url, resp.StatusCode)
	switch code := resp.StatusCode; {
	case err != nil:
		return replicaError(resnet18cloud.CodeUnavailable, url, err, "A replica did not reload its models")
	case code == http.StatusOK:
		return nil
	case code == http.StatusNotFound:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "The replicas have no folder of models",
			Hint: "start them with --models DIR", Err: cause}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "The replicas do not let the dispatcher reload their models",
			Hint: "its key at the replicas needs scope admin; see --replica-token-file", Err: cause}
	case code == http.StatusConflict && said.Error != "":
		return &resnet18cloud.Error{Code: resnet18cloud.CodeConflict, Message: clip(said.Error, maxModelTextBytes), Hint: clip(said.Hint, maxMessageBytes), Err: cause}
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: fmt.Sprintf("A replica did not reload its models: status %d", resp.StatusCode), Err: cause}
}

// reloaded returns the outcome of reloading all replicas. What all say is said once.
func reloaded(errs []error) error {
	var texts []string
	var worst *resnet18cloud.Error
	rank := func(e *resnet18cloud.Error) int {
		return slices.Index([]resnet18cloud.Code{resnet18cloud.CodeNotFound, resnet18cloud.CodeConflict, resnet18cloud.CodeUnavailable}, e.Code)
	}
	others := false // have a folder
	for _, err := range errs {
		e := resnet18cloud.AsError(err)
		switch {
		case err == nil:
			others = true
			continue
		case e.Code != resnet18cloud.CodeNotFound:
			others = true
			if !slices.Contains(texts, e.Message) {
				texts = append(texts, e.Message)
			}
		}
		if worst == nil || rank(e) > rank(worst) {
			worst = e
		}
	}
	switch {
	case len(errs) == 0:
		return lacking("", nil)
	case worst == nil || worst.Code == resnet18cloud.CodeNotFound && others:
		return nil
	}
	all := *worst
	if len(texts) > 0 {
		all.Message = clip(strings.Join(texts, "; "), maxModelTextBytes)
	}
	return &all
}

// recheck probes endpoints and waits for it.
func (p *Pool) recheck(ctx context.Context, urls []string) {
	p.mu.Lock()
	for _, url := range urls {
		if e := p.endpoints[url]; e != nil {
			e.recheck()
		}
	}
	p.describe()
	p.mu.Unlock()
	p.settle(ctx, urls)
}

// settle waits until the doubts about endpoints are settled, or that takes too long.
func (p *Pool) settle(ctx context.Context, urls []string) {
	ctx, cancel := context.WithTimeout(ctx, 2*p.cfg.ProbeTimeout)
	defer cancel()
	for {
		changed := p.unsettled(urls)
		if changed == nil {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// unsettled returns a channel that is closed when something has changed; nil if none of the endpoints is doubted.
func (p *Pool) unsettled(urls []string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, url := range urls {
		if e := p.endpoints[url]; e != nil && e.health.healthy && e.doubted() {
			return p.changed
		}
	}
	return nil
}
