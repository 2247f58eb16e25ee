package dispatch

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// batchBody is the response of POST /predict_batch.
type batchBody struct {
	Accepted int `json:"accepted"` // items with a request ID
	Refused  int `json:"refused"`  // items with an error
	// EventsURL is the path of the stream of events about the accepted images.
	EventsURL string      `json:"events_url"`
	BatchID   string      `json:"batch_id,omitempty"` // of the message with X-Batch-Webhook
	Items     []batchItem `json:"items"`              // in the order of the form
}

// batchItem is the outcome for one image: what POST /predict_async would have returned, or the error.
type batchItem struct {
	Filename string `json:"filename"`
	*acceptedBody
	Error      string             `json:"error,omitempty"`
	Code       resnet18cloud.Code `json:"code,omitempty"`
	Hint       string             `json:"hint,omitempty"`
	RetryAfter float64            `json:"retry_after,omitempty"` // seconds
}

// predictBatch submits the images of a form, each as POST /predict_async or /embed_async would, with bulk priority unless the client
// sets another. It responds 202 if any image was accepted, and with the first error otherwise. An idempotency key
// covers the whole batch: item i gets "key/i".
func (d *Dispatcher) predictBatch(w http.ResponseWriter, r *http.Request) error {
	o, err := d.readOptions(r, resnet18cloud.PriorityBulk)
	if err != nil {
		return err
	}
	var batch batchBody
	var ids []string     // of accepted images
	var members []string // those that the message about the batch is about
	var first error
	key := o.key
	err = d.uploads.Images(w, r, d.cfg.MaxBatch, func(image resnet18cloud.Image, err error) {
		item := batchItem{Filename: image.Name}
		if err == nil {
			if key != "" {
				o.key = fmt.Sprintf("%s/%d", key, len(batch.Items))
			}
			record, submitted := d.submitItem(r.Context(), len(batch.Items), image, o)
			if err = submitted; err == nil {
				if o.batched && o.batch == "" && begins(record) {
					o.batch = record.ID
					d.hooks.receive(o.batch)
				}
				if o.batch != "" && record.Webhook != nil && record.Webhook.Batch == o.batch {
					members = append(members, record.ID)
				}
				body := d.newAcceptedBody(r.Context(), record)
				item.acceptedBody = &body
				batch.Accepted++
				ids = append(ids, record.ID)
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
	case err != nil: // the form failed after some images were accepted; the client must learn their IDs
		e := resnet18cloud.AsError(err)
		batch.Refused++
		batch.Items = append(batch.Items, batchItem{Error: e.Message, Code: e.Code, Hint: e.Hint})
	}
	if batch.BatchID = o.batch; o.batch != "" {
		d.hooks.follow(o.batch, members)
	}
	batch.EventsURL = eventsURL(r.Context(), ids)
	httpx.WriteJSON(w, http.StatusAccepted, batch)
	return nil
}
