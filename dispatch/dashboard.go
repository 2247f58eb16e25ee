package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/board"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

const (
	sampleInterval = time.Second
	// scalingInterval is the time between two requests to the autoscaler.
	scalingInterval = 5 * time.Second
	// viewerTimeout is how long a viewer may take to read a frame.
	viewerTimeout = 10 * time.Second
)

// dashboard samples the dispatcher once a second, for everyone who watches.
type dashboard struct {
	board board.Board
	tally board.Tally

	mu      sync.Mutex
	scaling scalingState // guarded by mu
}

// scalingState is what the autoscaler last said about itself.
type scalingState struct {
	Summary json.RawMessage `json:"summary,omitempty"` // as of GET /summary of the autoscaler
	Problem string          `json:"problem,omitempty"` // why there is none
	At      time.Time       `json:"at,omitzero"`       // when Summary was received
}

// dashboardState is the part of a frame that has no history.
type dashboardState struct {
	Instance string            `json:"instance"`
	Uptime   float64           `json:"uptime"` // seconds
	Capacity int               `json:"queue_capacity"`
	Totals   totals            `json:"totals"`
	Cache    cacheMetrics      `json:"cache"`
	Replicas []dashboardMember `json:"replicas"`
	Agree    *agreement        `json:"int8_agreement,omitempty"` // of all replicas, in any precision; nil if none compares one with fp32
	Stopping bool              `json:"stopping,omitempty"`
	Storage  string            `json:"storage_problem,omitempty"`
	Warning  string            `json:"warning,omitempty"`
	Viewers  int               `json:"viewers"`
	Scaling  *scalingState     `json:"scaling,omitempty"` // nil if there is no autoscaler, or if the viewer may not see it
}

// totals are requests since the start.
type totals struct {
	Accepted  int   `json:"accepted"`
	Completed int   `json:"completed"`
	Failed    int   `json:"failed"`   // for another reason than their image
	Unusable  int   `json:"unusable"` // their images cannot be classified
	Cancelled int   `json:"cancelled"`
	Refused   int64 `json:"refused"`
}

// agreement says how many images got the same best label from another precision as from fp32.
type agreement struct {
	Precision string `json:"precision"` // "int8" or "bf16", or both if replicas differ: "bf16, int8"
	Compared  int    `json:"compared"`
	Equal     int    `json:"equal"`
}

// agreementOf is the agreement of all endpoints together; nil if none compares.
func agreementOf(endpoints []forward.Endpoint) *agreement {
	var all *agreement
	var precisions []string
	for _, e := range endpoints {
		if q := e.Quantization; q != nil {
			if all == nil {
				all = &agreement{}
			}
			all.Compared += q.Compared
			all.Equal += q.Equal
			precisions = append(precisions, cmp.Or(q.Precision, "int8"))
		}
	}
	if all != nil {
		slices.Sort(precisions)
		all.Precision = strings.Join(slices.Compact(precisions), ", ")
	}
	return all
}

// dashboardMember is a replica with what it did in the last second.
type dashboardMember struct {
	forward.Endpoint
	Images  float64 `json:"images_per_second"`
	Busy    float64 `json:"busy"`              // share of the time of its workers that was spent on images, 0 to 1
	Latency float64 `json:"latency,omitempty"` // mean time from sending an image to its result, seconds
}

// run samples until ctx ends, and then ends all streams.
func (b *dashboard) run(ctx context.Context, d *Dispatcher) {
	defer b.board.Close()
	var background sync.WaitGroup
	defer background.Wait()
	if d.cfg.Scaling != nil {
		background.Go(func() { b.followScaling(ctx, d.cfg.Scaling) })
	}
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	before, last := observation{}, time.Now()
	for {
		stopping := false
		select {
		case <-ctx.Done():
			stopping = true
		case <-ticker.C:
		}
		now := time.Now()
		before = b.sample(d, before, now, now.Sub(last))
		last = now
		if stopping {
			return
		}
	}
}

// sample publishes a frame. elapsed is the time since the last one, which saw the observation before.
func (b *dashboard) sample(d *Dispatcher, before observation, now time.Time, elapsed time.Duration) observation {
	endpoints := d.backend.Endpoints()
	f := board.Frame{Sample: board.Sample{At: now, Working: d.inFlight.size(), Replicas: len(endpoints), Workers: d.backend.Workers()}}
	s := &f.Sample
	work := b.tally.Take(s, elapsed)
	s.Waiting, s.Wait = d.queueDepth().Total(), nan
	state := d.dashboardState(now)
	for _, e := range endpoints {
		if e.Healthy {
			s.Healthy++
		}
		state.Replicas = append(state.Replicas, memberOf(e, work[e.URL], elapsed))
	}
	state.Agree = agreementOf(endpoints)
	if state.ready {
		if wait := d.estimate(); wait > 0 {
			s.Wait = wait.Seconds()
		}
	}
	seen := observation{
		started: true, endpoints: endpoints, ready: state.ready, storage: state.Storage, warning: state.Warning, stopping: state.Stopping,
		refused: s.Refused > 0, quiet: before.quiet + 1, waiting: s.Waiting,
	}
	events := seen.since(before, now)
	if seen.refused {
		seen.quiet = 0
	}
	seen.full = seen.refused || before.full && seen.quiet < quietSamples

	operators := state.dashboardState
	operators.Scaling = b.scalingNow(d.cfg.Scaling != nil)
	readers := state.dashboardState
	readers.Replicas = make([]dashboardMember, len(state.Replicas))
	name := func(url string) string { return url }
	if d.cfg.Access != nil { // without keys, everyone is an operator
		if state.ready {
			name = func(url string) string { return replicaName(d.store.Secret(), url) }
		} else {
			name = func(string) string { return "replica" }
		}
	}
	for i, m := range state.Replicas {
		m.URL = name(m.URL)
		if m.Problem != "" {
			m.Problem = "unhealthy"
		}
		readers.Replicas[i] = m
	}
	if readers.Storage != "" {
		readers.Storage = "the log has the reason"
	}
	f.State[board.Operators], f.State[board.Readers] = operators, readers
	f.Events[board.Operators], f.Events[board.Readers] = texts(events, func(url string) string { return url }, true), texts(events, name, false)
	if err := b.board.Publish(f); err != nil {
		d.cfg.Log.Error("cannot publish figures for the dashboard", "error", err)
	}
	return seen
}

// memberOf is a replica with its work in the last second.
func memberOf(e forward.Endpoint, w board.Work, elapsed time.Duration) dashboardMember {
	m := dashboardMember{Endpoint: e}
	seconds := max(1e-3, elapsed.Seconds())
	m.Images = round(float64(w.Images)/seconds, 1)
	// An image is counted when it ends, with all its time, so a second may have more than it lasted.
	m.Busy = round(min(1, w.Busy.Seconds()/seconds/float64(max(1, e.Workers))), 3)
	if w.Images > 0 {
		m.Latency = round(w.Latency.Seconds()/float64(w.Images), 5)
	}
	return m
}

// stateNow is the state without replicas and autoscaler.
type stateNow struct {
	dashboardState
	ready bool // queue and results are open
}

func (d *Dispatcher) dashboardState(now time.Time) stateNow {
	body := d.recorder.stats.body(now)
	s := stateNow{dashboardState: dashboardState{
		Instance: d.instance, Uptime: round(body.HealthMetrics.Uptime, 0), Capacity: d.cfg.QueueCapacity,
		Totals: totals{
			Accepted: body.TotalRequests, Completed: body.SuccessfulRequests, Failed: body.FailedRequests - body.UnusableImages,
			Unusable: body.UnusableImages, Cancelled: body.CancelledRequests, Refused: body.Scaling.Refused,
		},
		Cache: d.cacheMetrics(), Warning: d.backend.Answering().Warning, Viewers: d.dashboard.board.Viewers(), Replicas: []dashboardMember{},
	}}
	select {
	case <-d.ready:
		s.ready = true
		if problem := d.problem(); problem != nil {
			s.Storage = problem.Error()
		}
	default:
	}
	select {
	case <-d.draining:
		s.Stopping = true
	default:
	}
	return s
}

// followScaling asks the autoscaler until ctx ends.
func (b *dashboard) followScaling(ctx context.Context, ask func(context.Context) (json.RawMessage, error)) {
	ticker := time.NewTicker(scalingInterval)
	defer ticker.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, scalingInterval)
		summary, err := ask(asking)
		cancel()
		if err == nil && !json.Valid(summary) {
			err = errors.New("the autoscaler's answer is no JSON")
		}
		b.mu.Lock()
		if err != nil {
			b.scaling.Problem = err.Error()
		} else {
			b.scaling = scalingState{Summary: summary, At: time.Now()}
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// scalingNow returns what the autoscaler last said; nil if there is none.
func (b *dashboard) scalingNow(exists bool) *scalingState {
	if !exists {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.scaling
	return &s
}

// stream serves GET /dashboard/stream: server-sent events (WHATWG HTML, section 9.2). The first one, "history", has the
// last ?seconds= samples (3600) and what happened; one named "frame" follows every second. The stream ends when the
// dispatcher stops, or when the client is too slow.
func (d *Dispatcher) stream(w http.ResponseWriter, r *http.Request) error {
	if err := httpx.CheckQuery(r, "seconds"); err != nil {
		return err
	}
	seconds := board.Kept
	if text := r.URL.Query().Get("seconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return errInvalid("seconds must be a number from 0", "for example ?seconds=900")
		}
		seconds = n
	}
	audience := board.Readers
	if d.caller(r.Context()).Admin() {
		audience = board.Operators
	}
	viewer, history, err := d.dashboard.board.Join(audience, seconds)
	switch {
	case errors.Is(err, board.ErrFull):
		return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Too many viewers of the dashboard",
			Hint: "the limit is " + strconv.Itoa(board.MaxViewers) + "; close other tabs, or use /status and /metrics", RetryAfter: 10 * time.Second}
	case errors.Is(err, board.ErrClosed):
		return errUnavailable("Dispatcher is stopping", "", 0)
	case err != nil:
		return err
	}
	defer viewer.Leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx would collect events
	out := eventWriter{w, http.NewResponseController(w)}
	if out.send("history", history) != nil {
		return nil // the client is gone
	}
	for {
		select {
		case <-r.Context().Done():
			return nil
		case frame, ok := <-viewer.Frames():
			if !ok || out.send("frame", frame) != nil {
				return nil
			}
		}
	}
}

// eventWriter writes server-sent events.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// send writes an event, whose data has no line breaks.
func (e eventWriter) send(name string, data []byte) error { return e.sendID(name, "", data) }

// sendID is send with the ID by which a client continues the stream; empty means none.
func (e eventWriter) sendID(name, id string, data []byte) error {
	event := make([]byte, 0, len(data)+len(name)+len(id)+24)
	event = append(append(append(event, "event: "...), name...), '\n')
	if id != "" {
		event = append(append(append(event, "id: "...), id...), '\n')
	}
	event = append(append(append(event, "data: "...), data...), "\n\n"...)
	return e.write(string(event))
}

// write sends a piece of the stream.
func (e eventWriter) write(text string) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(viewerTimeout)) // a slow client must not hold the stream; not supported in tests
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	return e.control.Flush()
}
