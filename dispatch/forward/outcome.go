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

// outcome is the outcome of an attempt.
type outcome struct {
	err   error     // error to report; nil if the image was classified
	event eventKind // event for the endpoint's health
	retry bool      // another replica may succeed
}

// errAttemptTimeout is the cause if an attempt takes longer than Config.AttemptTimeout.
var errAttemptTimeout = errors.New("attempt timed out")

// hungError is the cause if an endpoint has stopped responding during an attempt.
type hungError struct{ url, problem string }

func (e *hungError) Error() string { return fmt.Sprintf("endpoint %s hangs: %s", e.url, e.problem) }

// interruption describes an attempt that ended without a complete response.
type interruption struct {
	err     error         // from the HTTP client
	caller  error         // why the caller's context ended; nil if it has not
	attempt error         // why the attempt's context ended; nil if it has not
	sent    bool          // part of the image was sent
	timeout time.Duration // the attempt timeout
	alive   bool          // the endpoint answered probes during the attempt, up to its end
}

// outcome returns an error whose code tells whether the image may have reached the replica: CodeUnavailable means no.
func (i interruption) outcome(url string) outcome {
	hung, isHung := errors.AsType[*hungError](i.attempt)
	switch {
	case i.caller != nil:
		return outcome{err: i.caller}
	case isHung:
		return outcome{replicaError(resnet18cloud.CodeInternal, url, hung, "A replica stopped responding"), attemptStopped, true}
	case errors.Is(i.attempt, errAttemptTimeout):
		event := attemptBroken
		if i.alive {
			event = attemptSlow
		}
		return outcome{replicaError(resnet18cloud.CodeInternal, url, i.err, "A replica did not respond within %s", i.timeout),
			event, true}
	case isDial(i.err) && !i.sent:
		return outcome{replicaError(resnet18cloud.CodeUnavailable, url, i.err, "A replica is not reachable"), attemptBroken, true}
	default: // also if a second connection was refused after the first broke: the image may have crashed the replica
		return outcome{replicaError(resnet18cloud.CodeInternal, url, i.err, "A replica closed the connection before responding"),
			attemptBroken, true}
	}
}

// reply is a replica's complete response.
type reply struct {
	status     int
	retryAfter string // header
	body       []byte
}

// outcome reads the result or the error in the response.
func (r reply) outcome(url string, want resnet18cloud.Want, now time.Time) (resnet18cloud.Result, outcome) {
	switch {
	case want.Model != "" && r.status == http.StatusNotFound:
		// Its models have changed since the last probe.
		return resnet18cloud.Result{}, outcome{r.noModel(url), attemptLacking, true}
	case want.Embedding && (r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed):
		// A replica of an earlier version, or of another program. It is as good as others for those who want classes.
		return resnet18cloud.Result{}, outcome{replicaError(resnet18cloud.CodeUnsuited, url, fmt.Errorf("status %d", r.status),
			"A replica gives no embeddings"), attemptAnswered, true}
	case r.status != http.StatusOK:
		return resnet18cloud.Result{}, r.refusal(url, now)
	}
	result, err := readResult(r.body, want)
	switch {
	case errors.Is(err, errAnswerSize):
		return resnet18cloud.Result{}, outcome{&resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
			Message: "The result is larger than the dispatcher stores", Hint: "ask for fewer classes with top_k"}, attemptAnswered, false}
	case err != nil:
		return resnet18cloud.Result{}, outcome{
			replicaError(resnet18cloud.CodeInternal, url, err, "A replica returned an invalid response"), attemptFailed, true}
	}
	return result, outcome{event: attemptAnswered}
}

// noModel is the error of a replica that does not have the model.
func (r reply) noModel(url string) error {
	var said httpx.ErrorBody
	if err := json.Unmarshal(r.body, &said); err != nil || said.Code != resnet18cloud.CodeNotFound || said.Error == "" {
		said = httpx.ErrorBody{Error: "A replica does not have the model any more", Hint: "see GET /models"}
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: clip(said.Error, maxMessageBytes), Hint: clip(said.Hint, maxMessageBytes),
		Err: fmt.Errorf("replica %s returned status %d", url, r.status)}
}

// refusal reads a response other than 200: the cause is the image, a lack of capacity, or the replica.
func (r reply) refusal(url string, now time.Time) outcome {
	var said httpx.ErrorBody
	if err := json.Unmarshal(r.body, &said); err != nil || said.Error == "" {
		said = httpx.ErrorBody{Error: fmt.Sprintf("A replica returned status %d %s", r.status, http.StatusText(r.status))}
	}
	code := httpx.CodeOf(r.status)
	if said.Code == resnet18cloud.CodeUnsuited && r.status == httpx.Status(said.Code) {
		code = said.Code
	}
	err := &resnet18cloud.Error{Code: code,
		Message: clip(said.Error, maxMessageBytes), Hint: clip(said.Hint, maxMessageBytes),
		Err: fmt.Errorf("replica %s returned status %d", url, r.status)}
	switch {
	case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden:
		return outcome{replicaError(resnet18cloud.CodeInternal, url, errors.New(err.Message), "A replica refuses the dispatcher's key"), attemptFailed, true}
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

// maxMessageBytes limits an error message from a replica.
const maxMessageBytes = 512

// blamesImage reports whether every replica would return this status for the image. Other 4xx statuses concern the
// endpoint (401, 404, 405) or the connection (408).
func blamesImage(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// maxRetryAfterSeconds limits the Retry-After of a replica.
const maxRetryAfterSeconds = 60

// parseRetryAfter parses a Retry-After header in either form of RFC 9110, section 10.2.3: seconds or a date. It
// returns zero if there is none.
func parseRetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), maxRetryAfterSeconds)) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfterSeconds*time.Second)
	}
	return 0
}

// worse returns the failure to report of two attempts for one image. A failure at a replica that may have received
// the image comes first, because it must count; then one at a full replica, which has a retry time, the earliest of
// all; then one at an unreachable replica. If they are equal, the first one is returned.
func worse(a, b error) error {
	if a == nil {
		return b
	}
	first, second := resnet18cloud.AsError(a), resnet18cloud.AsError(b)
	switch before, after := severity(first), severity(second); {
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

func severity(e *resnet18cloud.Error) int {
	switch e.Code {
	case resnet18cloud.CodeUnavailable:
		return 0
	case resnet18cloud.CodeFull:
		return 1
	}
	return 2
}

// isDial reports whether no connection was established.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// tooSlow is the error of an image that took two replicas longer than the timeout although they were alive.
func tooSlow(cause error, timeout time.Duration) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
		Message: fmt.Sprintf("Image takes longer than %s to classify, tried twice", timeout),
		Hint:    "Send a smaller image; networks read at most 320x320 pixels.", Err: cause}
}

// replicaError returns an error about a replica. Clients see the message; the URL is for the log.
func replicaError(code resnet18cloud.Code, url string, cause error, format string, args ...any) error {
	return &resnet18cloud.Error{Code: code, Message: fmt.Sprintf(format, args...), Err: fmt.Errorf("replica %s: %w", url, cause)}
}
