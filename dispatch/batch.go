package dispatch

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// batchBody is the answer of POST /predict_batch.
type batchBody struct {
	Accepted int         `json:"accepted"` // items that have a request id
	Refused  int         `json:"refused"`  // items that have an error
	Items    []batchItem `json:"items"`    // in the order of the form
}

// batchItem is what became of one image: the answer that POST /predict_async would have given, with the
// code and error of a refusal.
type batchItem struct {
	Filename string `json:"filename"`
	*acceptedBody
	Error      string             `json:"error,omitempty"`
	Code       resnet18cloud.Code `json:"code,omitempty"`
	Hint       string             `json:"hint,omitempty"`
	RetryAfter float64            `json:"retry_after,omitempty"` // seconds
}

// predictBatch accepts many images in one form, each of them as POST /predict_async would, in bulk priority
// unless the client says otherwise. The answer is 202 when any was accepted, and the error of the first
// otherwise. An idempotency key stands for the whole batch: item i is "key/i".
func (d *Dispatcher) predictBatch(w http.ResponseWriter, r *http.Request) error {
	o, err := readOptions(r, resnet18cloud.PriorityBulk)
	if err != nil {
		return err
	}
	var batch batchBody
	var first error
	key := o.key
	err = d.uploads.Images(w, r, d.cfg.MaxBatch, func(image resnet18cloud.Image, err error) {
		item := batchItem{Filename: image.Name}
		if err == nil {
			if key != "" {
				o.key = fmt.Sprintf("%s/%d", key, len(batch.Items))
			}
			record, submitted := d.submit(r.Context(), image, o)
			if err = submitted; err == nil {
				body := d.newAcceptedBody(record)
				item.acceptedBody = &body
				batch.Accepted++
			}
		}
		if err != nil {
			first = errors.Join(first, err)
			e := resnet18cloud.AsError(err)
			item.Error, item.Code, item.Hint, item.RetryAfter = e.Message, e.Code, e.Hint, e.RetryAfter.Seconds()
			batch.Refused++
		}
		batch.Items = append(batch.Items, item)
	})
	switch {
	case batch.Accepted == 0 && err != nil:
		return err
	case batch.Accepted == 0:
		return first
	case err != nil: // the form broke off after some were accepted: they are, and the client must know
		e := resnet18cloud.AsError(err)
		batch.Refused++
		batch.Items = append(batch.Items, batchItem{Error: e.Message, Code: e.Code, Hint: e.Hint})
	}
	httpx.WriteJSON(w, http.StatusAccepted, batch)
	return nil
}
