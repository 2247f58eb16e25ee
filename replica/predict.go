package replica

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// predict answers what a client wants to know about one image: POST /predict and /embed. If the queue is full, it responds before the body is sent. Otherwise it reads the
// body first and then admits the request, so a client that sends slowly does not occupy a place.
func (s *Server) predict(w http.ResponseWriter, r *http.Request) error {
	want, err := httpx.Want(r)
	if err != nil {
		return err
	}
	if err := s.checkModel(r.Context(), want); err != nil {
		return err
	}
	if err := s.admission.check(); err != nil {
		return err
	}
	var name string
	var result resnet18cloud.Result
	err = s.uploads.Image(w, r, func(image resnet18cloud.Image) (err error) {
		name, image.Want = image.Name, want
		result, err = s.classify(r.Context(), s.classifier, image)
		return err
	})
	if err != nil {
		return err
	}
	s.metrics.observe(r.Context(), result.Timing)
	what, label := "Embedding", ""
	if !want.Embedding {
		what, label = "Prediction", result.Predictions[0]
	}
	s.cfg.Log.InfoContext(r.Context(),
		fmt.Sprintf("%s completed in %.3fs for %s", what, result.Timing.Replica.Seconds(), name),
		"request_id", resnet18cloud.TraceFrom(r.Context()).RequestID, "label", label)
	w.Header().Set("Server-Timing", result.Timing.ServerTiming())
	httpx.WriteJSON(w, http.StatusOK, result)
	return nil
}

// classify waits for a slot and classifies the image.
func (s *Server) classify(ctx context.Context, c resnet18cloud.Classifier, image resnet18cloud.Image) (result resnet18cloud.Result, err error) {
	v := &visit{admission: s.admission}
	if s.cfg.Large(image) {
		v.admission = s.large
	}
	if err := v.enter(); err != nil {
		return result, err
	}
	defer func() { v.leave() }() // wherever it is
	image.Slow = func() error { return v.move(ctx, s.large) }
	ctx, span := s.cfg.Tracer.Start(ctx, "replica", tracing.Internal)
	defer span.End()
	var ended time.Time
	arrived := time.Now()
	err = v.work(ctx, func() (err error) {
		result, err = c.Classify(ctx, image)
		ended = time.Now()
		return err
	})
	result.Timing.Replica = time.Since(arrived)
	s.cfg.Tracer.RecordStages(ctx, ended, result.Timing.Inner()...)
	span.Set(slog.String("resnet18.model", result.Model), slog.String("resnet18.precision", result.Precision))
	span.Fail(err)
	return result, err
}
