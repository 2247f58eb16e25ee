package board

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits on memory and work.
const (
	// Kept is the number of samples that are kept: one hour at one a second, about 1 MB.
	Kept = 3600
	// keptEvents is the number of events that are kept.
	keptEvents = 200
	// MaxViewers is the number of viewers at a time.
	MaxViewers = 200
	// buffered is how many frames a viewer may be behind before it is dropped.
	buffered = 8
)

// Audience is what a viewer may see.
type Audience int

// The audiences.
const (
	Readers   Audience = iota // figures; names instead of addresses
	Operators                 // everything
	audiences
)

// Event is something that happened, for people.
type Event struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"` // "good", "bad" or "info": how to mark it
	Text string    `json:"text"`
}

// Frame is what the viewers receive for one second.
type Frame struct {
	Sample Sample
	// State is the state at that time, for each audience; it is encoded as JSON.
	State [audiences]any
	// Events happened since the last frame, for each audience.
	Events [audiences][]Event
}

var (
	// ErrFull means that there are [MaxViewers] viewers.
	ErrFull = errors.New("too many viewers")
	// ErrClosed means that the server is stopping.
	ErrClosed = errors.New("closed")
)

// Board keeps samples and events, and hands each frame to the viewers. The zero value is ready to use. Its methods are safe
// for concurrent use.
type Board struct {
	mu      sync.Mutex
	rows    [][]byte             // guarded by mu: a ring of encoded samples
	next    int                  // guarded by mu: index in rows of the oldest one, once the ring is full
	events  [audiences][]Event   // guarded by mu: oldest first
	state   [audiences][]byte    // guarded by mu: encoded, of the last frame
	viewers map[*Viewer]struct{} // guarded by mu
	closed  bool                 // guarded by mu
}

// Viewer receives frames. Its owner must call Leave.
type Viewer struct {
	board    *Board
	audience Audience
	frames   chan []byte
}

// Frames delivers one JSON object a second: {"row":[...],"state":{...},"events":[...]}. It is closed when the viewer is too
// slow or the board is closed. The bytes are shared and must not be modified.
func (v *Viewer) Frames() <-chan []byte { return v.frames }

// Leave ends the delivery.
func (v *Viewer) Leave() {
	v.board.mu.Lock()
	defer v.board.mu.Unlock()
	v.board.drop(v)
}

// drop removes a viewer. The caller holds mu.
func (b *Board) drop(v *Viewer) {
	if _, ok := b.viewers[v]; ok {
		delete(b.viewers, v)
		close(v.frames)
	}
}

// Join adds a viewer, and returns what it has missed: the last n samples, the events and the state. Frames that are
// published later arrive at the viewer, and none is lost or repeated in between. The error is [ErrFull] or [ErrClosed].
func (b *Board) Join(a Audience, n int) (*Viewer, []byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, nil, ErrClosed
	case len(b.viewers) >= MaxViewers:
		return nil, nil, ErrFull
	}
	history, err := b.history(a, n)
	if err != nil {
		return nil, nil, err
	}
	v := &Viewer{b, a, make(chan []byte, buffered)}
	if b.viewers == nil {
		b.viewers = map[*Viewer]struct{}{}
	}
	b.viewers[v] = struct{}{}
	return v, history, nil
}

// history encodes the last n samples. The caller holds mu.
func (b *Board) history(a Audience, n int) ([]byte, error) {
	columns, err := json.Marshal(Columns())
	if err != nil {
		return nil, err
	}
	events, err := json.Marshal(append([]Event{}, b.events[a]...))
	if err != nil {
		return nil, fmt.Errorf("encode events: %w", err)
	}
	n = min(max(0, n), len(b.rows))
	size := len(columns) + len(events) + len(b.state[a]) + 100
	for i := range n {
		size += len(b.last(n-i)) + 1
	}
	out := append(append(make([]byte, 0, size), `{"columns":`...), columns...)
	out = append(out, `,"rows":[`...)
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, b.last(n-i)...)
	}
	out = append(append(out, `],"events":`...), events...)
	out = append(out, `,"state":`...)
	if b.state[a] == nil {
		return append(out, "null}"...), nil
	}
	return append(append(out, b.state[a]...), '}'), nil
}

// last returns the row of the i-th last sample; 1 is the newest. The caller holds mu.
func (b *Board) last(i int) []byte { return b.rows[(b.next+len(b.rows)-i)%len(b.rows)] }

// Publish keeps a frame and hands it to the viewers. A viewer that is too far behind is dropped: it may join again, and
// then gets what it has missed.
func (b *Board) Publish(f Frame) error {
	row := f.Sample.appendRow(make([]byte, 0, 256))
	var state, frames [audiences][]byte
	for a := range audiences {
		var err error
		if state[a], err = json.Marshal(f.State[a]); err != nil {
			return fmt.Errorf("encode state: %w", err)
		}
		events, err := json.Marshal(append([]Event{}, f.Events[a]...))
		if err != nil {
			return fmt.Errorf("encode events: %w", err)
		}
		frames[a] = fmt.Appendf(nil, `{"row":%s,"state":%s,"events":%s}`, row, state[a], events)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rows) < Kept {
		b.rows = append(b.rows, row)
	} else {
		b.rows[b.next] = row
		b.next = (b.next + 1) % Kept
	}
	for a := range audiences {
		b.state[a] = state[a]
		b.events[a] = append(b.events[a], f.Events[a]...)
		b.events[a] = b.events[a][max(0, len(b.events[a])-keptEvents):]
	}
	for v := range b.viewers {
		select {
		case v.frames <- frames[v.audience]:
		default:
			b.drop(v)
		}
	}
	return nil
}

// Viewers returns the number of viewers.
func (b *Board) Viewers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.viewers)
}

// Close ends all deliveries and admits nobody any more.
func (b *Board) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for v := range b.viewers {
		b.drop(v)
	}
}
