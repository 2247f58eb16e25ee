package replica

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// uploadTimeout bounds how long a body may take to arrive, because it holds a place in the line meanwhile.
const uploadTimeout = 30 * time.Second

// bodies keeps the memory of uploads, whose images live no longer than their request.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// predict classifies one image. It takes its place before it reads the body, so that what bodies take of
// memory is bounded, and a replica without room says so before megabytes have travelled.
func (s *Server) predict(w http.ResponseWriter, r *http.Request) error {
	id := r.Header.Get("X-Request-Id")
	if id == "" {
		id = uuid.NewString()
	}
	w.Header().Set("X-Request-Id", id)

	if err := s.line.enter(); err != nil {
		return err
	}
	defer s.line.leave()
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	image, err := s.receive(w, r, body)
	if err != nil {
		return err
	}

	arrived := time.Now()
	var result resnet18cloud.Result
	err = s.line.work(r.Context(), func() (err error) {
		result, err = s.classifier.Classify(r.Context(), image)
		return err
	})
	if err != nil {
		return err
	}
	result.Timing.Replica = time.Since(arrived)
	s.metrics.observe(result.Timing)

	s.cfg.Log.InfoContext(r.Context(),
		fmt.Sprintf("Prediction completed in %.3fs for %s", result.Timing.Replica.Seconds(), image.Name),
		"request_id", id, "label", result.Predictions[0])
	w.Header().Set("Server-Timing", result.Timing.ServerTiming())
	httpx.WriteJSON(w, http.StatusOK, result)
	return nil
}

// receive reads the image, in bounded time.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, body *bytes.Buffer) (resnet18cloud.Image, error) {
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(uploadTimeout)); err != nil {
		return resnet18cloud.Image{}, fmt.Errorf("limit the time of the upload: %w", err)
	}
	image, err := httpx.ReadImage(w, r, s.cfg.MaxImageBytes, body)
	if err != nil {
		return resnet18cloud.Image{}, err
	}
	// From here on the server reads only to notice that the client left; a deadline that passed meanwhile
	// would look like that.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return resnet18cloud.Image{}, fmt.Errorf("lift the limit on the upload's time: %w", err)
	}
	return image, nil
}
