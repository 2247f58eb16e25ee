package jsqueue

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// puller asks a consumer for messages, one at a time. It does what jetstream's Consumer.Next does, but subscribes once
// and not for each message.
type puller struct {
	conn    *nats.Conn
	subject string // of requests to the consumer
	inbox   string // answers go to subjects under this one
	sub     *nats.Subscription
	asked   uint64 // requests
}

const (
	// pullWait is how long a request for a job stays with the server; also how long Run takes to end.
	pullWait = time.Second
	// pullSlice is how soon it is noticed that the connection was made again: the server has forgotten the
	// request then.
	pullSlice = 250 * time.Millisecond
)

// request is for one message, and stays with the server for pullWait (NATS ADR-13, pull requests).
var request = fmt.Appendf(nil, `{"batch":1,"expires":%d}`, pullWait.Nanoseconds())

// errNoAnswer says that the server did not answer, not even that there is no job: the consumer does not exist, or has no
// leader now, or the connection was made again.
var errNoAnswer = errors.New("ask for a job: no answer")

func newPuller(conn *nats.Conn, stream, consumer string) (*puller, error) {
	p := &puller{conn: conn, subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, inbox: conn.NewInbox() + "."}
	var err error
	if p.sub, err = conn.SubscribeSync(p.inbox + "*"); err != nil {
		return nil, fmt.Errorf("subscribe to consumer %s: %w", consumer, err)
	}
	return p, nil
}

// close gives up the subscription. There must be no request with the server: a message that answers it would be lost
// until it is delivered again.
func (p *puller) close() { _ = p.sub.Unsubscribe() } // fails only where the connection is closed, and it with it

// next waits for a message, at most for pullWait and what the server needs to say that there was none; then the error is
// nats.ErrTimeout. A message that comes too late for one call is another's.
func (p *puller) next() (*nats.Msg, error) {
	p.asked++
	reply := p.inbox + strconv.FormatUint(p.asked, 10)
	reconnects := p.conn.Stats().Reconnects
	if err := p.conn.PublishRequest(p.subject, reply, request); err != nil {
		return nil, fmt.Errorf("ask for a job: %w", err)
	}
	for patience := time.Now().Add(pullWait + time.Second); ; {
		msg, err := p.sub.NextMsg(min(pullSlice, time.Until(patience)))
		switch {
		case errors.Is(err, nats.ErrTimeout) && time.Now().Before(patience) && p.conn.Stats().Reconnects == reconnects:
			continue
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders):
			return nil, errNoAnswer
		case err != nil:
			return nil, err
		}
		// The server answers without a message by a status alone, on the request's own subject.
		switch status := msg.Header.Get("Status"); {
		case len(msg.Data) > 0 || status == "":
			return msg, nil
		case msg.Subject != reply: // what became of an earlier request does not matter
		case status == "404", status == "408":
			return nil, nats.ErrTimeout
		case status == "503": // nobody listens to requests for this consumer
			return nil, errNoAnswer
		default:
			return nil, fmt.Errorf("ask for a job: %s %s", status, msg.Header.Get("Description"))
		}
	}
}
