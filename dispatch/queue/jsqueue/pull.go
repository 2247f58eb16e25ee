package jsqueue

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// puller requests messages from a consumer, one at a time. It does what jetstream's Consumer.Next does, but
// subscribes once instead of for each message.
type puller struct {
	conn    *nats.Conn
	subject string // of requests to the consumer
	inbox   string // responses arrive at subjects below this one
	sub     *nats.Subscription
	wait    time.Duration // for which a request stays on the server
	request []byte        // for one message (NATS ADR-13, pull requests)
	asked   uint64        // number of requests
}

// pullSlice is how soon a reconnect is noticed, after which the server has forgotten the request.
const pullSlice = 250 * time.Millisecond

// errNoAnswer means that the server did not respond at all: the consumer does not exist or has no leader, or the
// connection was re-established.
var errNoAnswer = errors.New("request job: no response")

func newPuller(conn *nats.Conn, stream, consumer string, wait time.Duration) (*puller, error) {
	p := &puller{conn: conn, subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, inbox: conn.NewInbox() + ".",
		wait: wait, request: fmt.Appendf(nil, `{"batch":1,"expires":%d}`, wait.Nanoseconds())}
	var err error
	if p.sub, err = conn.SubscribeSync(p.inbox + "*"); err != nil {
		return nil, fmt.Errorf("subscribe to consumer %s: %w", consumer, err)
	}
	return p, nil
}

// close unsubscribes. There must be no pending request: a message sent in response would be lost until it is
// delivered again.
func (p *puller) close() { _ = p.sub.Unsubscribe() } // fails only if the connection is closed

// next waits for a message, for at most p.wait plus the time the server needs to report that there is none; then
// the error is nats.ErrTimeout. A message that arrives too late for one call is returned by the next one.
func (p *puller) next() (*nats.Msg, error) {
	p.asked++
	reply := p.inbox + strconv.FormatUint(p.asked, 10)
	reconnects := p.conn.Stats().Reconnects
	if err := p.conn.PublishRequest(p.subject, reply, p.request); err != nil {
		return nil, fmt.Errorf("request job: %w", err)
	}
	for deadline := time.Now().Add(p.wait + time.Second); ; {
		msg, err := p.sub.NextMsg(min(pullSlice, time.Until(deadline)))
		switch {
		case errors.Is(err, nats.ErrTimeout) && time.Now().Before(deadline) && p.conn.Stats().Reconnects == reconnects:
			continue
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders):
			return nil, errNoAnswer
		case err != nil:
			return nil, err
		}
		// A response without a message is a status, on the request's own subject.
		switch status := msg.Header.Get("Status"); {
		case len(msg.Data) > 0 || status == "":
			return msg, nil
		case msg.Subject != reply: // the outcome of an earlier request does not matter
		case status == "404", status == "408":
			return nil, nats.ErrTimeout
		case status == "503": // nobody handles requests for this consumer
			return nil, errNoAnswer
		default:
			return nil, fmt.Errorf("request job: %s %s", status, msg.Header.Get("Description"))
		}
	}
}
