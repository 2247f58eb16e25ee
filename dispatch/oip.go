package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/oip"
)

// This file joins the dispatcher to the endpoints of the Open Inference Protocol. Each picture of a request is a job: it
// passes through the queue with the limits, the shares and the cache of any other, and the response waits for all.

// oipName stands for the model of the replicas, whatever its name.
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

// Names implements oip.Backend.
func (b oipBackend) Names() []string { return []string{oipName} }

// Find implements oip.Backend. The model is the one that the replicas answer with.
func (b oipBackend) Find(r *http.Request, name, version string) (t oip.Model, err error) {
	t = oip.Model{Parallel: oip.MaxBatch, Release: func() {}}
	if t.Labels, err = b.backend.Labels(r.Context(), ""); err != nil {
		return t, err
	}
	own, known, _ := strings.Cut(t.Labels.Model, "@")
	t.Version = known
	switch {
	case name != oipName && name != own:
		return t, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: fmt.Sprintf("There is no model %.80q", name),
			Hint: "use the name " + oipName + "; a replica with several models has them all"}
	case version != "" && version != known:
		return t, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: fmt.Sprintf("There is no version %.80q", version),
			Hint: "leave out the version"}
	}
	options, _ := r.Context().Value(optionsKey{}).(submitOptions) // requests for the model's description have none
	t.Classify = func(ctx context.Context, i int, image resnet18cloud.Image) (resnet18cloud.Result, error) {
		o := options
		o.want = image.Want
		if o.key != "" {
			o.key = fmt.Sprintf("%s/%d", o.key, i)
		}
		return b.answer(ctx, image, o)
	}
	return t, nil
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
