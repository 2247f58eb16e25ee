package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/lend"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// Item is the outcome of one image of a batch: the server accepted it, or Err says why not.
type Item struct {
	Ticket
	Err error // a *resnet18cloud.Error if the server refused the image
}

// batchBody is the answer to a batch.
type batchBody struct {
	Items []struct {
		ticketBody
		refusalBody
	} `json:"items"`
}

// SubmitBatch sends images in one request, at most as many as the server allows (100, unless it was told otherwise), and
// returns when the dispatcher has stored them (POST /predict_batch, or /embed_batch). All images must ask for the same.
// The result has one item per image, in their order. The error is nil if the server accepted at least one.
//
// With [Client.Retry], images that were refused for lack of room are sent again, one after the other. An empty
// o.Priority means bulk. An idempotency key is that of the whole batch; image i, counted from 0, has the key "KEY/i".
// Wait for the results with [Client.Wait] or [Client.Watch].
func (c *Client) SubmitBatch(ctx context.Context, images []resnet18cloud.Image, o Options) ([]Item, error) {
	if len(images) == 0 {
		return nil, fmt.Errorf("submit a batch: %w", &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "a batch without images"})
	}
	want := images[0].Want
	if slices.ContainsFunc(images, func(i resnet18cloud.Image) bool { return i.Want != want }) {
		return nil, fmt.Errorf("submit a batch: %w", &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid,
			Message: "the images of a batch ask for different things", Hint: "make a batch for each value of Image.Want"})
	}
	if o.Priority == "" {
		o.Priority = resnet18cloud.PriorityBulk
	}
	var body batchBody
	if err := c.send(ctx, "_batch", want, images, o, &body); err != nil {
		return nil, fmt.Errorf("submit a batch of %d images: %w", len(images), err)
	}
	items := make([]Item, len(images))
	for i := range items {
		if i >= len(body.Items) {
			items[i].Err = fmt.Errorf("submit %s: %w", images[i].Name, &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "the server did not read the image"})
			continue
		}
		b := body.Items[i]
		items[i].Ticket = b.ticket()
		if b.Error == "" {
			continue
		}
		items[i].Err = fmt.Errorf("submit %s: %w", images[i].Name, &resnet18cloud.Error{Code: b.Code, Message: clip(b.Error), Hint: clip(b.Hint), RetryAfter: resnet18cloud.Seconds(b.RetryAfter)})
		if after, again := c.retry(ctx, 1, items[i].Err, true); again {
			items[i] = c.submitLate(ctx, images[i], i, o, after)
		}
	}
	return items, nil
}

// submitLate sends image i of a batch on its own, after a pause. It is not in the message about the batch, but has its own.
func (c *Client) submitLate(ctx context.Context, image resnet18cloud.Image, i int, o Options, after time.Duration) Item {
	if o.IdempotencyKey != "" {
		o.IdempotencyKey = fmt.Sprintf("%s/%d", o.IdempotencyKey, i)
	}
	if o.BatchWebhook != "" {
		o.Webhook, o.BatchWebhook = o.BatchWebhook, ""
	}
	pause.For(ctx, after)
	ticket, err := c.Submit(ctx, image, o)
	return Item{Ticket: ticket, Err: err}
}

// parts are the pieces of a form with images, for a loan of their bytes.
func parts(form []byte, ends []int, images []resnet18cloud.Image) *lend.Loan {
	pieces := make([][]byte, 0, 2*len(images)+1)
	start := 0
	for i, end := range ends {
		pieces = append(pieces, form[start:end], images[i].Bytes)
		start = end
	}
	return lend.New(append(pieces, form[start:])...)
}
