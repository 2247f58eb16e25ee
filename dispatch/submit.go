package dispatch

import (
	"cmp"
	"context"
	"crypto/sha256"
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
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// submitOptions are the client's options for a submission.
type submitOptions struct {
	arrived  time.Time
	deadline time.Time // zero means none
	priority resnet18cloud.Priority
	key      string // idempotency key; empty means none
	client   client
	owner    string // name of the client; empty if clients have no keys
	want     resnet18cloud.Want
	webhook  string // URL to send the outcome to; empty means none
	batch    string // see Job.Batch, of all but the first of the batch
	batched  bool   // the webhook is about a batch
}

// The request headers with the options of a submission.
const (
	headerTimeout  = "X-Request-Timeout" // seconds (2.5) or a duration (2500ms), from arrival
	headerPriority = "X-Priority"        // interactive or bulk
	headerKey      = "Idempotency-Key"   // any text of at most 255 bytes
	headerPrefer   = "Prefer"            // respond-async (RFC 7240)

	headerBatchWebhook = "X-Batch-Webhook" // URL, for batches only
)

// readOptions reads the options of a submission from its URL and headers.
func readOptions(r *http.Request, priority resnet18cloud.Priority) (o submitOptions, err error) {
	o = submitOptions{arrived: time.Now(), priority: priority, key: r.Header.Get(headerKey), webhook: r.Header.Get(headerWebhook)}
	if o.want, err = httpx.Want(r); err != nil {
		return o, err
	}
	if url := r.Header.Get(headerBatchWebhook); url != "" {
		switch {
		case o.webhook != "":
			return o, errInvalid("There are two webhooks", "send "+headerWebhook+" for a message about each image, or "+headerBatchWebhook+" for one about all")
		case !strings.HasSuffix(r.URL.Path, "_batch"):
			return o, errInvalid(headerBatchWebhook+" is for batches", "send "+headerWebhook)
		}
		o.webhook, o.batched = url, true
	}
	if c, ok := access.FromContext(r.Context()); ok {
		o.owner = c.Name
	}
	if text := r.Header.Get(headerTimeout); text != "" {
		timeout, err := parseSeconds(text)
		if err != nil || timeout <= 0 {
			return o, errInvalid(fmt.Sprintf("%s %.40q is not a duration", headerTimeout, text), "use seconds, or a duration such as 2500ms")
		}
		o.deadline = o.arrived.Add(timeout)
	}
	switch p := resnet18cloud.Priority(r.Header.Get(headerPriority)); p {
	case "":
	case resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk:
		o.priority = p
	default:
		return o, errInvalid(fmt.Sprintf("%s %.40q is not a priority", headerPriority, p), "use interactive or bulk")
	}
	if len(o.key) > 255 {
		return o, errInvalid(headerKey+" is longer than 255 bytes", "")
	}
	return o, nil
}

// parseSeconds parses "2.5" as seconds, and text with a unit as a duration.
func parseSeconds(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if seconds < 0 || seconds > 1e6 {
			return 0, strconv.ErrRange
		}
		return resnet18cloud.Seconds(seconds), nil
	}
	return time.ParseDuration(text)
}

// newID returns a request ID: random, or that of the idempotency key if there is one.
func (o submitOptions) newID(secret store.Secret) (string, error) {
	if o.key != "" {
		return keyedID(secret, o.owner, o.key), nil
	}
	id, err := uuid.NewV7()
	return id.String(), err
}

// jobTrace returns the trace for a job of the request in ctx. Without an X-Request-Id of the client, logs and replicas
// know the job by its own ID.
func jobTrace(ctx context.Context) resnet18cloud.Trace {
	t := resnet18cloud.TraceFrom(ctx)
	if !t.Given {
		t.RequestID = ""
	}
	return t
}

// question returns what the job asks of whichever model answers, for the cache: a result is that of a model, by whatever name
// a client asked for it.
func question(job resnet18cloud.Job) cache.Question {
	want := job.Image.Want
	want.Model = ""
	return cache.Question{Digest: job.Digest, Want: want}
}

// submit accepts the image: it is answered from the cache, or stored in the queue. The image's bytes are not used
// after submit returns.
func (d *Dispatcher) submit(ctx context.Context, image resnet18cloud.Image, o submitOptions) (store.Record, error) {
	var r store.Record
	err := d.withinRate(o.client, d.rates.take)
	if err == nil {
		r, err = d.accept(ctx, image, o)
	}
	if err != nil {
		d.recorder.refused(err)
		return r, err
	}
	d.addToLedger(r)
	return r, nil
}

// withinRate returns an error if the client sends too many requests per second. wait looks for a token.
func (d *Dispatcher) withinRate(c client, wait func(client, time.Time) time.Duration) error {
	if wait := wait(c, time.Now()); wait > 0 {
		return errRate(c.rate, wait)
	}
	return nil
}

func (d *Dispatcher) accept(ctx context.Context, image resnet18cloud.Image, o submitOptions) (store.Record, error) {
	if d.stopping.Err() != nil && !d.cfg.sharesQueue() { // otherwise another dispatcher continues with the job
		return store.Record{}, errUnavailable("Dispatcher is stopping", "retry in a moment", time.Second)
	}
	if d.problem() != nil {
		return store.Record{}, d.storageProblem()
	}
	until := time.Now().Add(d.cfg.SubmitTimeout)
	id, err := o.newID(d.store.Secret())
	if err != nil {
		return store.Record{}, fmt.Errorf("make a request id: %w", err)
	}
	image.Want = o.want
	job := resnet18cloud.Job{ID: id, Owner: o.owner, Client: o.client.name, Image: image, Digest: sha256.Sum256(image.Bytes),
		QueuedAt: o.arrived, Deadline: o.deadline, Priority: o.priority, Webhook: o.webhook, Trace: jobTrace(ctx)}
	if o.batched {
		job.Batch = cmp.Or(o.batch, id)
	}
	r := newRecord(job)
	var known store.Record // of an earlier request with the same key
	if o.key != "" {
		known, err = d.readUntil(ctx, id, until)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return store.Record{}, d.unavailable(ctx, "Results are", err)
		case known.Digest != r.Digest && known.Digest != "": // empty if damage has left only the ID
			return store.Record{}, errConflict(headerKey+" was used for another image", "use a new key for each image")
		case known.Want != r.Want && known.Digest != "":
			return store.Record{}, errConflict(headerKey+" was used to ask for something else about the image", "use a new key for each request")
		case !restartable(known):
			return known, nil
		default:
			r = restarted(known, r, time.Now())
			job.Generation, job.QueuedAt = r.Generation, r.QueuedAt
		}
	}
	if o.want.Model != "" { // waiting does not help if no replica has it
		if _, err := d.backend.Find(o.want.Model); err != nil && resnet18cloud.AsError(err).Code == resnet18cloud.CodeNotFound {
			return store.Record{}, err
		}
	}
	// A client that disconnects now must not leave a job without a record, or a record without a job.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	lookup := time.Now()
	result, ok := d.cache.Get(question(job), d.models.now(o.want.Model))
	d.recordCache(ctx, lookup, ok)
	if ok {
		result.Filename, result.Timing = job.Image.Name, resnet18cloud.Timing{Cache: time.Since(lookup)}
		return d.answerFromCache(ctx, r, result)
	}
	r.Estimate = d.estimateFor(o.client, job.Priority)
	if r.Generation == 0 {
		return d.enqueue(ctx, job, r, o.client)
	}
	return d.restart(ctx, job, r, known, o.client)
}

// readUntil is read with a deadline.
func (d *Dispatcher) readUntil(ctx context.Context, id string, until time.Time) (store.Record, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return d.read(ctx, id)
}

// answerFromCache stores the result under the request's ID, as if it had been computed.
func (d *Dispatcher) answerFromCache(ctx context.Context, r store.Record, result resnet18cloud.Result) (store.Record, error) {
	r.FromCache = true
	end := completed(r, result, true, time.Now())
	written, err := d.create(ctx, end)
	switch {
	case errors.Is(err, store.ErrConflict): // a concurrent request with the same idempotency key
		return d.present(ctx, r.ID)
	case err != nil:
		d.recorder.addUnconfirmed(r)
		return store.Record{}, d.unavailable(ctx, "Results are", err)
	}
	d.recorder.accepted(written, d.waiting())
	d.recorder.ended(ctx, written)
	d.hooks.ended(written)
	return written, nil
}

// present returns the record that another process or request has written.
func (d *Dispatcher) present(ctx context.Context, id string) (store.Record, error) {
	r, err := d.store.Get(ctx, id)
	if err != nil {
		return store.Record{}, d.unavailable(ctx, "Results are", err)
	}
	return r, nil
}

// enqueue stores the job, then its record. A worker that takes the job in between creates the record instead.
//
// See docs/decisions/0051-publish-before-record.md.
func (d *Dispatcher) enqueue(ctx context.Context, job resnet18cloud.Job, r store.Record, c client) (store.Record, error) {
	var err error
	if job.Lane, err = d.admit(ctx, c, job); err != nil {
		return store.Record{}, err
	}
	r.Lane = job.Lane
	if err := d.publish(ctx, job); err != nil {
		return store.Record{}, err
	}
	written, err := d.create(ctx, r)
	switch {
	case errors.Is(err, store.ErrConflict): // a worker has created and counted it
		return r, nil
	case err != nil:
		return store.Record{}, d.unavailable(ctx, "Results are", err)
	}
	d.holdings.recorded(r.ID, time.Now())
	d.recorder.accepted(written, d.waiting())
	return written, nil
}

// restart restarts a request that ended as in known; r is its next generation. The record is written before the job
// is stored, so that of several concurrent clients one restarts the request and the others get its record. Nothing is
// written if the client has its share or the queue is full. If the job cannot be stored, the restart is rolled back.
func (d *Dispatcher) restart(ctx context.Context, job resnet18cloud.Job, r, known store.Record, c client) (store.Record, error) {
	var err error
	if job.Lane, err = d.admit(ctx, c, job); err != nil {
		return store.Record{}, err
	}
	if d.waiting().Total() >= d.cfg.QueueCapacity {
		d.holdings.withdraw(job.ID, job.Generation)
		return store.Record{}, d.queueFull()
	}
	r.Lane = job.Lane
	written, err := d.create(ctx, r)
	switch {
	case errors.Is(err, store.ErrConflict): // it is counted as the client's, whoever has restarted it
		return d.present(ctx, r.ID)
	case err != nil:
		d.holdings.withdraw(job.ID, job.Generation)
		return store.Record{}, d.unavailable(ctx, "Results are", err)
	}
	if err := d.publish(ctx, job); err != nil {
		return d.rollBack(ctx, written, known, err)
	}
	d.holdings.recorded(r.ID, time.Now())
	d.recorder.accepted(written, d.waiting())
	return written, nil
}

// rollBackTimeout limits one attempt to roll back a restart. If it fails, reconciliation ends the request as lost.
const rollBackTimeout = 2 * time.Second

// rollBack returns the request to its earlier outcome, because its job could not be stored.
func (d *Dispatcher) rollBack(ctx context.Context, restart, known store.Record, cause error) (store.Record, error) {
	back := rolledBack(restart, known)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollBackTimeout) // the submission's time may have passed
	defer cancel()
	_, err := d.write(ctx, back)
	switch {
	case errors.Is(err, store.ErrConflict): // a worker has had the job: it was stored after all
		if present, err := d.present(ctx, restart.ID); err == nil && !hasMark(present, markOf(back)) {
			d.recorder.accepted(restart, d.waiting())
			return present, nil
		}
		d.recorder.addUnconfirmedRollback(restart, back)
	case err != nil:
		d.recorder.addUnconfirmedRollback(restart, back)
	}
	return store.Record{}, cause
}

// publish stores a job that was admitted in the queue, or returns the error for the client.
func (d *Dispatcher) publish(ctx context.Context, job resnet18cloud.Job) (err error) {
	ctx, span := d.startJob(ctx, "publish", tracing.Producer, job)
	defer func() {
		span.Fail(err)
		span.End()
	}()
	if err = d.queue.Publish(ctx, job); err != nil {
		d.holdings.withdraw(job.ID, job.Generation)
	}
	switch {
	case errors.Is(err, queue.ErrFull):
		return d.queueFull()
	case errors.Is(err, queue.ErrTooLarge):
		return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
			Message: "Image exceeds the message size limit of the queue", Hint: "raise max_payload on the NATS server", Err: err}
	case err != nil:
		return d.unavailable(ctx, "The queue is", err)
	}
	return nil
}

func (d *Dispatcher) queueFull() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full",
		Hint: "retry after retry_after seconds, or add replicas", RetryAfter: d.retryAfter()}
}

// admit counts a client's next job and returns its lane, or the error if the client has its share or the job could not be
// answered in time.
func (d *Dispatcher) admit(ctx context.Context, c client, job resnet18cloud.Job) (lane int, err error) {
	d.sweep(ctx)
	r := d.room()
	lane, refused := d.holdings.add(c, job, r)
	if refused == "" {
		return lane, nil
	}
	_, wait := d.holdings.refuses(c, job.Priority, r)
	return 0, d.refusal(c, refused, wait)
}

// admissible returns the error with which a client's next request of a priority would be refused, whatever its image is. A
// client that has nothing here is not refused yet: its image may be in the cache, which takes no place in the queue.
func (d *Dispatcher) admissible(ctx context.Context, c client, p resnet18cloud.Priority) error {
	d.sweep(ctx)
	if !d.holdings.has(c) {
		return nil
	}
	if refused, wait := d.holdings.refuses(c, p, d.room()); refused != "" {
		return d.refusal(c, refused, wait)
	}
	return nil
}

// room returns what the queue has. Without replicas it is not known how long requests wait.
func (d *Dispatcher) room() room {
	r := room{waiting: d.waiting().Total(), capacity: d.cfg.QueueCapacity, maxBytes: d.queueBytes, workers: d.backend.Workers()}
	if slots, _ := d.backend.Slots(); slots > 0 && r.workers > 0 {
		r.patience, r.interval = d.limits.patience(), d.recorder.stats.meanBusy()/time.Duration(r.workers)
	}
	return r
}

// refusal returns the error for a client at a limit, which may retry after the given time if it is known.
func (d *Dispatcher) refusal(c client, l limit, wait time.Duration) *resnet18cloud.Error {
	switch l {
	case limitInFlight:
		return errInFlight(c.inFlight, minRetryAfter)
	case limitWait:
		return errWait(max(wait, minRetryAfter))
	case limitQueue:
		return errTooLong(max(wait, minRetryAfter))
	}
	return errShare(l, d.retryAfter())
}

// sweepInterval is the minimum time between two sweeps of the holdings, apart from those of reconciliation.
const sweepInterval = 50 * time.Millisecond

// sweep finds requests of this dispatcher that another one has taken or ended, if the queue is shared, and after the start
// those of an earlier process. If the store does not respond, the next sweep may succeed.
func (d *Dispatcher) sweep(ctx context.Context) {
	now, shared := time.Now(), d.limits.heartbeatTimeout != 0
	if !d.holdings.sweepDue(now, sweepInterval, shared) {
		return
	}
	if unfinished, err := d.store.Unfinished(ctx); err == nil {
		d.holdings.sweep(unfinished, now)
	}
}

// unavailable returns the error for a part that is not reachable, with the reason if it is known.
func (d *Dispatcher) unavailable(ctx context.Context, what string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) { // the client has disconnected: nothing is wrong here
		return ctx.Err()
	}
	d.recorder.storageFailed(storageSubmit)
	if problem := d.storageProblem(); problem != nil {
		return problem
	}
	return errUnreachable(what, err)
}

// predictAsync accepts an image and responds immediately: POST /predict_async and /embed_async.
func (d *Dispatcher) predictAsync(w http.ResponseWriter, r *http.Request) error {
	record, err := d.take(w, r)
	if err != nil {
		return err
	}
	d.writeAccepted(r.Context(), w, record)
	return nil
}

// readOptions reads the options of a submission. It refuses a client that sends or has too many requests, before their
// images are read: so a flood costs little. A request with an idempotency key may be one that is known already.
func (d *Dispatcher) readOptions(r *http.Request, priority resnet18cloud.Priority) (submitOptions, error) {
	o, err := readOptions(r, priority)
	if err != nil {
		return o, err
	}
	if o.webhook != "" {
		if err := d.hooks.check(o.webhook); err != nil {
			return o, err
		}
	}
	o.client = d.clientOf(r)
	err = d.withinRate(o.client, d.rates.wait)
	if err == nil && o.key == "" {
		err = d.admissible(r.Context(), o.client, o.priority)
	}
	if err != nil {
		d.recorder.refused(err)
	}
	return o, err
}

// take reads the options and the image, and submits them.
func (d *Dispatcher) take(w http.ResponseWriter, r *http.Request) (record store.Record, err error) {
	o, err := d.readOptions(r, resnet18cloud.PriorityInteractive)
	if err != nil {
		return record, err
	}
	err = d.uploads.Image(w, r, func(image resnet18cloud.Image) error {
		record, err = d.submit(r.Context(), image, o)
		return err
	})
	if err == nil {
		httpx.SetRequestID(w, r, record.ID)
	}
	return record, err
}

// predict waits for the result: POST /predict and /embed. If the client disconnects, its request is cancelled, unless the client
// can ask again by its idempotency key. With Prefer: respond-async it is predictAsync (RFC 7240, section 4.1).
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
	return d.writePrediction(r.Context(), w, record)
}

func prefersAsync(h http.Header) bool {
	for _, line := range h.Values(headerPrefer) {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "respond-async") {
				return true
			}
		}
	}
	return false
}
