// Package target holds the ways in which a load test sends an image to a server: our own asynchronous and
// synchronous APIs, any HTTP endpoint that takes an image, and the Open Inference Protocol. A Target sends one image
// and returns an Answer. It knows nothing of schedules, records or statistics.
package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Target sends images to a server. Implementations are safe for concurrent use.
type Target interface {
	// Send sends one image and waits for its result. It returns an error if there is no result; the Answer then
	// holds what was learned until then. Send does not read the image's bytes after it has returned, or has called
	// sent, which it may do earlier.
	Send(ctx context.Context, image resnet18cloud.Image, sent func()) (Answer, error)
	// String describes the target in reports: its address and how it is called.
	String() string
	// Check returns an error if no server answers.
	Check(ctx context.Context) error
}

// Answer is what a Target learned about one image.
type Answer struct {
	Label     string        // best class; empty if not known
	FromCache bool          // the server did not compute the result for this request
	Model     string        // identity and precision of the model that computed it; empty if not known
	Accepted  time.Time     // when the server accepted the image, or returned the result or an error
	Queue     time.Duration // waiting in the dispatcher, as reported by the dispatcher
	Inference time.Duration // network alone, as reported by the replica
	PollLag   time.Duration // from result ready to result received; 0 if not known
}

var (
	// ErrUnreachable means that no server answers at the target's address.
	ErrUnreachable = errors.New("server unreachable")
	// ErrNotAsync means that a server answers, but does not queue images. A replica does not.
	ErrNotAsync = errors.New("the server has no /predict_async")
)

// address is a URL in reports, without the password that it may have.
func address(base string) string {
	if u, err := url.Parse(base); err == nil {
		return u.Redacted()
	}
	return base
}

// StatusError is an answer with an HTTP status of 300 or more.
type StatusError struct {
	Status int
	Text   string // beginning of the body
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
}

// InvalidAnswerError is an answer without a label where one is expected.
type InvalidAnswerError struct{ Err error }

func (e *InvalidAnswerError) Error() string { return fmt.Sprintf("read the answer: %v", e.Err) }

// Unwrap returns the cause.
func (e *InvalidAnswerError) Unwrap() error { return e.Err }

// maxAnswerBytes is the most that is read of an answer.
const maxAnswerBytes = 4 << 20
