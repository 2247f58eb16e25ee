package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// order is what a client asks for beside the image.
type order struct {
	arrived  time.Time
	deadline time.Time // zero: none
	priority resnet18cloud.Priority
	key      string // of idempotency; empty: none
}

// The request headers that make an order.
const (
	headerTimeout  = "X-Request-Timeout" // seconds (2.5) or a duration (2500ms), counted from arrival
	headerPriority = "X-Priority"        // interactive or bulk
	headerKey      = "Idempotency-Key"   // any text of at most 255 bytes
)

// readOrder reads the headers of an order.
func readOrder(r *http.Request, priority resnet18cloud.Priority) (order, error) {
	o := order{arrived: time.Now(), priority: priority, key: r.Header.Get(headerKey)}
	if text := r.Header.Get(headerTimeout); text != "" {
		timeout, err := parseSeconds(text)
		if err != nil || timeout <= 0 {
			return o, &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid,
				Message: fmt.Sprintf("%s %q is not a time", headerTimeout, text), Hint: "say 2.5 or 2500ms"}
		}
		o.deadline = o.arrived.Add(timeout)
	}
	switch p := resnet18cloud.Priority(r.Header.Get(headerPriority)); p {
	case "":
	case resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk:
		o.priority = p
	default:
		return o, &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid,
			Message: fmt.Sprintf("%s %q is not a priority", headerPriority, p), Hint: "say interactive or bulk"}
	}
	if len(o.key) > 255 {
		return o, &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: headerKey + " is longer than 255 bytes"}
	}
	return o, nil
}

// parseSeconds reads "2.5" as seconds, and what has a unit as a duration.
func parseSeconds(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if seconds < 0 || seconds > 1e6 {
			return 0, strconv.ErrRange
		}
		return resnet18cloud.Seconds(seconds), nil
	}
	return time.ParseDuration(text)
}

// newID names a request. One with an idempotency key is named by it, so that all dispatchers agree on which
// request it is without asking each other: a version 8 UUID (RFC 9562, section 5.8) of the key's SHA-256.
func (o order) newID() (string, error) {
	if o.key != "" {
		sum := sha256.Sum256([]byte("Idempotency-Key\x00" + o.key))
		id := uuid.UUID(sum[:16])
		id[6] = id[6]&0x0f | 0x80
		id[8] = id[8]&0x3f | 0x80
		return id.String(), nil
	}
	id, err := uuid.NewV7()
	return id.String(), err
}

func cacheKey(digest [32]byte, model string) cache.Key {
	return cache.Key{Digest: digest, Model: model}
}

// submit accepts the image: it is answered from the cache, or stored in the queue. The image's bytes are
// not used after it has returned.
func (d *Dispatcher) submit(ctx context.Context, image resnet18cloud.Image, o order) (store.Record, error) {
	record, err := d.accept(ctx, image, o)
	if err != nil {
		d.metrics.refused.WithLabelValues(string(resnet18cloud.AsError(err).Code)).Inc()
	}
	return record, err
}

func (d *Dispatcher) accept(ctx context.Context, image resnet18cloud.Image, o order) (store.Record, error) {
	select {
	case <-d.draining:
		return store.Record{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable,
			Message: "Dispatcher is stopping", Hint: "send it again; another will take it", RetryAfter: time.Second}
	default:
	}
	id, err := o.newID()
	if err != nil {
		return store.Record{}, fmt.Errorf("make a request id: %w", err)
	}
	job := resnet18cloud.Job{ID: id, Image: image, Digest: sha256.Sum256(image.Bytes),
		QueuedAt: o.arrived, Deadline: o.deadline, Priority: o.priority}
	if o.key != "" {
		known, err := d.store.Get(ctx, id)
		switch {
		case err == nil:
			return sameRequest(known, job)
		case !errors.Is(err, store.ErrNotFound):
			return store.Record{}, unavailable("Results are", err)
		}
	}
	lookup := time.Now()
	if result, ok := d.cache.Get(job.Digest, d.models.now()); ok {
		result.Timing = resnet18cloud.Timing{Cache: time.Since(lookup)}
		return d.answerFromCache(ctx, job, result)
	}
	return d.enqueue(ctx, job)
}

// sameRequest answers a request whose idempotency key was used before.
func sameRequest(known store.Record, job resnet18cloud.Job) (store.Record, error) {
	if known.Digest != hex.EncodeToString(job.Digest[:]) {
		return store.Record{}, &resnet18cloud.Error{Code: resnet18cloud.CodeConflict,
			Message: headerKey + " was used for another image", Hint: "take a new key for each image"}
	}
	return known, nil
}

// answerFromCache stores the answer under an id of its own, as if it had been computed.
func (d *Dispatcher) answerFromCache(ctx context.Context, job resnet18cloud.Job, result resnet18cloud.Result) (store.Record, error) {
	result.Filename = job.Image.Name
	record := newRecord(job)
	record.Status, record.CompletedAt = resnet18cloud.StatusCompleted, time.Now()
	record.FromCache, record.Replica, record.Result = true, result.Replica, &result
	_, err := d.store.Create(ctx, record)
	switch {
	case errors.Is(err, store.ErrExists): // the same idempotency key, at the same time
		return d.store.Get(ctx, job.ID)
	case err != nil:
		return store.Record{}, unavailable("Results are", err)
	}
	d.accepted(job)
	d.ended(record)
	return record, nil
}

// enqueue stores the job, then its record. Whoever takes the job in between creates the record instead.
func (d *Dispatcher) enqueue(ctx context.Context, job resnet18cloud.Job) (store.Record, error) {
	record := newRecord(job)
	record.Estimate = d.estimate()
	// A client that leaves now must not leave a job behind whose record is missing.
	ctx = context.WithoutCancel(ctx)
	switch err := d.queue.Publish(ctx, job); {
	case errors.Is(err, queue.ErrFull):
		d.stats.offered(true)
		return store.Record{}, &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full",
			Hint: "send it again after retry_after seconds, or add replicas", RetryAfter: d.retryAfter()}
	case errors.Is(err, queue.ErrTooLarge):
		return store.Record{}, &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
			Message: "Image is larger than the queue can carry", Hint: "raise max_payload of the NATS server", Err: err}
	case err != nil:
		return store.Record{}, unavailable("The queue is", err)
	}
	d.stats.offered(false)
	d.accepted(job)
	// Whoever has created the record before knows more, and shows it to who asks for the result.
	if _, err := d.store.Create(ctx, record); err != nil && !errors.Is(err, store.ErrExists) {
		return store.Record{}, unavailable("Results are", err)
	}
	return record, nil
}

func (d *Dispatcher) accepted(job resnet18cloud.Job) {
	d.stats.accepted(job.QueuedAt, d.queue.Waiting().Total())
	d.metrics.accepted.WithLabelValues(string(job.Priority)).Inc()
}

// unavailable says that a part cannot be reached now.
func unavailable(what string, err error) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: what + " not reachable now",
		Hint: "send it again in a moment", RetryAfter: time.Second, Err: err}
}

// predictAsync accepts an image and answers at once: POST /predict_async.
func (d *Dispatcher) predictAsync(w http.ResponseWriter, r *http.Request) error {
	record, err := d.take(w, r)
	if err != nil {
		return err
	}
	d.writeAccepted(w, record)
	return nil
}

// take reads the order and the image, and submits them.
func (d *Dispatcher) take(w http.ResponseWriter, r *http.Request) (record store.Record, err error) {
	o, err := readOrder(r, resnet18cloud.PriorityInteractive)
	if err != nil {
		return record, err
	}
	err = d.uploads.Image(w, r, func(image resnet18cloud.Image) error {
		record, err = d.submit(r.Context(), image, o)
		return err
	})
	return record, err
}

// predict waits for the answer: POST /predict. A client that leaves cancels its request, unless it could ask
// again by its idempotency key. With Prefer: respond-async it is predictAsync (RFC 7240, section 4.1).
func (d *Dispatcher) predict(w http.ResponseWriter, r *http.Request) error {
	if prefersAsync(r.Header) {
		w.Header().Set("Preference-Applied", "respond-async")
		return d.predictAsync(w, r)
	}
	record, err := d.take(w, r)
	if err != nil {
		return err
	}
	record, err = d.wait(r.Context(), record, d.cfg.MaxWait)
	if err != nil {
		return err
	}
	if r.Context().Err() != nil {
		if r.Header.Get(headerKey) == "" {
			_, err := d.cancel(context.WithoutCancel(r.Context()), record.ID)
			return errors.Join(r.Context().Err(), err)
		}
		return r.Context().Err()
	}
	return d.writePrediction(w, record)
}

func prefersAsync(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "respond-async") {
				return true
			}
		}
	}
	return false
}
