package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// outcome is what the end of an attempt means.
type outcome struct {
	err       error     // what to report; nil when the image is classified
	tells     eventKind // what it tells about the endpoint
	elsewhere bool      // another replica may do better
}

// errAttemptTimeout is the cause of the end of an attempt that took longer than Config.AttemptTimeout.
var errAttemptTimeout = errors.New("attempt timed out")

// hungError is the cause of the end of an attempt at an endpoint that has stopped answering.
type hungError struct{ url, problem string }

func (e *hungError) Error() string { return fmt.Sprintf("endpoint %s hangs: %s", e.url, e.problem) }

// interruption describes an attempt that ended without a complete answer.
type interruption struct {
	err     error         // of the HTTP client
	caller  error         // why the caller's context ended; nil while it has not
	attempt error         // why the attempt's context ended; nil while it has not
	sent    bool          // some of the image had left
	timeout time.Duration // of an attempt
}

// outcome tells whether the image may have reached the replica, in its code: CodeUnavailable says it has not.
func (i interruption) outcome(url string) outcome {
	hung, isHung := errors.AsType[*hungError](i.attempt)
	switch {
	case i.caller != nil:
		return outcome{err: i.caller}
	case isHung:
		return outcome{replicaError(resnet18cloud.CodeInternal, hung, "Replica %s stopped answering", url), attemptStopped, true}
	case errors.Is(i.attempt, errAttemptTimeout):
		return outcome{replicaError(resnet18cloud.CodeInternal, i.err, "Replica %s did not answer within %s", url, i.timeout),
			attemptBroken, true}
	case isDial(i.err) && !i.sent:
		return outcome{replicaError(resnet18cloud.CodeUnavailable, i.err, "Replica %s is not reachable", url), attemptBroken, true}
	default: // also when a second connection was refused after the first one broke: the image may have ended the replica
		return outcome{replicaError(resnet18cloud.CodeInternal, i.err, "Replica %s closed the connection before it answered", url),
			attemptBroken, true}
	}
}

// reply is a replica's complete answer.
type reply struct {
	status     int
	retryAfter string // header
	body       []byte
}

// outcome reads the result or the error in the answer.
func (r reply) outcome(url string, now time.Time) (resnet18cloud.Result, outcome) {
	if r.status != http.StatusOK {
		return resnet18cloud.Result{}, r.refusal(url, now)
	}
	var result resnet18cloud.Result
	err := json.Unmarshal(r.body, &result)
	if err == nil && len(result.Predictions) == 0 {
		err = errors.New("answer has no predictions")
	}
	if err != nil {
		return resnet18cloud.Result{}, outcome{
			replicaError(resnet18cloud.CodeInternal, err, "Replica %s returned an invalid response", url), attemptFailed, true}
	}
	return result, outcome{tells: attemptAnswered}
}

// refusal reads an answer other than 200: the image, the moment or the replica is at fault.
func (r reply) refusal(url string, now time.Time) outcome {
	var said httpx.ErrorBody
	if err := json.Unmarshal(r.body, &said); err != nil || said.Error == "" {
		said = httpx.ErrorBody{Error: fmt.Sprintf("Replica %s answered %d %s", url, r.status, http.StatusText(r.status))}
	}
	err := &resnet18cloud.Error{Code: httpx.CodeOf(r.status),
		Message: clip(said.Error, maxMessageBytes), Hint: clip(said.Hint, maxMessageBytes)}
	switch {
	case blamesImage(r.status):
		return outcome{err, attemptAnswered, false}
	case err.Code == resnet18cloud.CodeFull:
		err.RetryAfter = parseRetryAfter(r.retryAfter, now)
		return outcome{err, attemptRejected, true}
	default:
		err.Code = resnet18cloud.CodeInternal
		return outcome{err, attemptFailed, true}
	}
}

// maxMessageBytes bounds an error message that comes from a replica.
const maxMessageBytes = 512

// blamesImage reports whether every replica would answer the image with this status. Other statuses of 400 to 499 are
// about the endpoint (401, 404, 405) or the connection (408).
func blamesImage(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// maxRetryAfterSeconds bounds what a replica may ask for.
const maxRetryAfterSeconds = 60

// parseRetryAfter reads the header Retry-After in either form of RFC 9110, section 10.2.3: seconds or a date. It
// returns zero when there is none.
func parseRetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), maxRetryAfterSeconds)) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfterSeconds*time.Second)
	}
	return 0
}

// moreTelling returns the failure to report of two attempts for one image. First comes one at a replica that may have
// had the image, because it must count; then one at a replica without room, which says when to come back, the
// earliest time of all; then one that is not reachable. Of two equals the first stays.
func moreTelling(a, b error) error {
	if a == nil {
		return b
	}
	first, second := resnet18cloud.AsError(a), resnet18cloud.AsError(b)
	switch before, after := telling(first), telling(second); {
	case before != after:
		if before > after {
			return a
		}
		return b
	case second.RetryAfter > 0 && (first.RetryAfter == 0 || second.RetryAfter < first.RetryAfter):
		return b
	}
	return a
}

func telling(e *resnet18cloud.Error) int {
	switch e.Code {
	case resnet18cloud.CodeUnavailable:
		return 0
	case resnet18cloud.CodeFull:
		return 1
	}
	return 2
}

// isDial reports whether no connection was made.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// replicaError is an error about a replica.
func replicaError(code resnet18cloud.Code, cause error, format string, args ...any) error {
	return &resnet18cloud.Error{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}
