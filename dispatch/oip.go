package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/oip"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// This file joins the dispatcher to the endpoints of the Open Inference Protocol. Each picture of a request is a job: it
// passes through the queue with the limits, the shares and the cache of any other, and the response waits for all.

// oipName stands for the default model of the replicas, whatever its name.
const oipName = "resnet18"

// handleOIP adds the protocol's endpoints.
func (d *Dispatcher) handleOIP(mux *access.Mux) {
	mux.Add("GET /v2/health/live", toAll, d.health)
	mux.Add("GET /v2/health/ready", toAll, d.healthReady)
	service := &oip.Service{Backend: oipBackend{d}, Version: d.cfg.Version, Uploads: d.uploads, Access: d.cfg.Access, Log: d.cfg.Log,
		Counted: func(h httpx.HandlerFunc) httpx.HandlerFunc { return d.whenReady(d.withOptions(h)) }}
	service.Add(mux)
}

type optionsKey struct{}

// withOptions reads the options of a request for inference. It refuses the client, if it is at a limit, before the pictures
// are read.
func (d *Dispatcher) withOptions(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		o, err := d.readOptions(r, resnet18cloud.PriorityInteractive)
		if err != nil {
			return err
		}
		return h(w, r.WithContext(context.WithValue(r.Context(), optionsKey{}, o)))
	}
}

// oipBackend is the dispatcher as the protocol sees it.
type oipBackend struct{ *Dispatcher }

// Ready implements oip.Backend.
func (b oipBackend) Ready() error { return b.notReady(true) }

// Names implements oip.Backend. If there is only one, it is called by the name that stands for it.
func (b oipBackend) Names() []string {
	l, err := b.backend.Models()
	if err != nil || len(l.Models) < 2 {
		return []string{oipName}
	}
	names := []string{} // not null in JSON
	for _, m := range l.Models {
		if m.State == resnet18cloud.ModelServing && !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// Find implements oip.Backend. Pictures go to the version that was found, wherever it is.
func (b oipBackend) Find(r *http.Request, name, version string) (t oip.Model, err error) {
	m, labels, err := b.describe(r.Context(), name, version)
	if err != nil {
		return t, err
	}
	pinned := pin(m)
	t = oip.Model{Parallel: oip.MaxBatch, Release: func() {}, Version: m.Version, Labels: labels}
	if m.Name == "" { // replicas of other versions and programs, and classifiers in this process, do not list their model
		own, known, _ := strings.Cut(t.Labels.Model, "@")
		if t.Version = known; name != oipName && name != own || version != "" && version != known {
			return t, oip.UnknownModel(name, version, known, oipName, own)
		}
	}
	options, _ := r.Context().Value(optionsKey{}).(submitOptions) // requests for the model's description have none
	t.Classify = func(ctx context.Context, i int, image resnet18cloud.Image) (resnet18cloud.Result, error) {
		o := options
		o.want = image.Want
		o.want.Model = pinned
		if o.key != "" { // what another model was asked is another request: the same key must not conflict when models change
			o.key = strings.TrimSuffix(fmt.Sprintf("%s/%d/%s", o.key, i, pinned), "/")
		}
		ctx, span := b.cfg.Tracer.Start(ctx, "item", tracing.Internal, itemAttr(i))
		defer span.End()
		result, err := b.answer(ctx, image, o)
		span.Fail(err)
		if err == nil && result.Model != t.Labels.Model || pinned != "" && err != nil && resnet18cloud.AsError(err).Code == resnet18cloud.CodeNotFound {
			return result, oip.ErrChanged
		}
		return result, err
	}
	return t, nil
}

// describe finds a model and its classes.
func (b oipBackend) describe(ctx context.Context, name, version string) (m resnet18cloud.ModelStatus, l resnet18cloud.Labels, err error) {
	for range 3 { // it may be replaced meanwhile
		if m, err = b.locate(name, version); err != nil {
			return m, l, err
		}
		l, err = b.backend.Labels(ctx, pin(m))
		if err == nil || resnet18cloud.AsError(err).Code != resnet18cloud.CodeNotFound {
			return m, l, err
		}
	}
	return m, l, err
}

// locate finds a model. The name resnet18 stands for the default if no other has it, as the name of its weights does if it is
// not listed.
func (b oipBackend) locate(name, version string) (resnet18cloud.ModelStatus, error) {
	standard, err := b.backend.Find("")
	if err != nil || standard.Name == "" {
		return standard, err
	}
	named := name
	if version != "" {
		named += "@" + version
	}
	m, err := b.backend.Find(named)
	if err != nil && name == oipName && (version == "" || standard.Is(version)) {
		return standard, nil
	}
	return m, err
}

// pin returns the model's name with its hash for requests, which no other content has; empty if it cannot be named so.
func pin(m resnet18cloud.ModelStatus) string {
	pinned := m.Name + "@" + m.Hash[:min(64, len(m.Hash))]
	if _, err := resnet18cloud.ParseWant("/predict", resnet18cloud.Want{Model: pinned}.Query()); err != nil || !m.Is(m.Hash) {
		return ""
	}
	return pinned
}

// answer submits an image and waits for its result. If ctx ends first, the job is cancelled unless the client can ask again
// by its idempotency key.
func (d *Dispatcher) answer(ctx context.Context, image resnet18cloud.Image, o submitOptions) (result resnet18cloud.Result, err error) {
	record, err := d.submit(ctx, image, o)
	if err != nil {
		return result, err
	}
	id := record.ID
	record, err = d.wait(ctx, record, d.cfg.MaxWait)
	if err == nil && record.Result != nil {
		return *record.Result, nil
	}
	if err == nil {
		err = d.outcome(ctx, record)
	}
	if o.key == "" && !record.Status.Final() {
		_, cancelled := d.cancel(context.WithoutCancel(ctx), id)
		err = errors.Join(err, cancelled)
	}
	return result, err
}

// outcome returns why there is no result.
func (d *Dispatcher) outcome(ctx context.Context, r store.Record) error {
	switch {
	case r.Failure != nil:
		return &resnet18cloud.Error{Code: r.Failure.Code, Message: r.Failure.Message, Hint: r.Failure.Hint, RetryAfter: sendAgainAfter(r.Failure.Code)}
	case r.Status == resnet18cloud.StatusCancelled:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeCancelled, Message: "Request was cancelled"}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeDeadline, Message: fmt.Sprintf("There was no result within %s", d.cfg.MaxWait),
		Hint: "for longer waits use POST /predict_async"}
}
