package replica

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// predict classifies one image. If the queue is full, it responds before the body is sent. Otherwise it reads the
// body first and then admits the request, so a client that sends slowly does not occupy a place.
func (s *Server) predict(w http.ResponseWriter, r *http.Request) error {
	if err := s.admission.check(); err != nil {
		return err
	}
	var name string
	var result resnet18cloud.Result
	err := s.uploads.Image(w, r, func(image resnet18cloud.Image) (err error) {
		name = image.Name
		result, err = s.classify(r.Context(), image, mayWait(r.Header))
		return err
	})
	if err != nil {
		return err
	}
	s.metrics.observe(result.Timing)
	s.cfg.Log.InfoContext(r.Context(),
		fmt.Sprintf("Prediction completed in %.3fs for %s", result.Timing.Replica.Seconds(), name),
		"request_id", resnet18cloud.TraceFrom(r.Context()).RequestID, "label", result.Predictions[0])
	w.Header().Set("Server-Timing", result.Timing.ServerTiming())
	httpx.WriteJSON(w, http.StatusOK, result)
	return nil
}

// mayWait reports whether an image that is large may wait for others. A dispatcher asks that it does not, with
// "Prefer: wait=0" (RFC 7240, section 4.3): it sends few images at a time, and small ones would not be among them.
func mayWait(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "wait=0") {
				return false
			}
		}
	}
	return true
}

// classify waits for a slot and classifies the image. A large image that may not wait is refused if there is none.
func (s *Server) classify(ctx context.Context, image resnet18cloud.Image, wait bool) (result resnet18cloud.Result, err error) {
	a, enter := s.admission, s.admission.enter
	if s.cfg.Large(image) {
		a, enter = s.large, s.large.enter
		if !wait {
			enter = s.large.enterNow
		}
	}
	if err := enter(); err != nil {
		return result, err
	}
	defer a.leave()
	arrived := time.Now()
	err = a.work(ctx, func() (err error) {
		result, err = s.classifier.Classify(ctx, image)
		return err
	})
	result.Timing.Replica = time.Since(arrived)
	return result, err
}
