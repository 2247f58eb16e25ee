package dispatch

import (
	"fmt"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// hintEndpoints tells users where to see which replicas are unhealthy.
const hintEndpoints = "see the endpoints in /status"

// errInvalid is a malformed request.
func errInvalid(message, hint string) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: message, Hint: hint}
}

// errUnavailable is a temporary failure. A zero retryAfter means that it is unknown when a retry may succeed.
func errUnavailable(message, hint string, retryAfter time.Duration) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: message, Hint: hint, RetryAfter: retryAfter}
}

// errUnreachable is a failed access to storage.
func errUnreachable(part string, cause error) *resnet18cloud.Error {
	e := errUnavailable(part+" not reachable", "retry in a moment", time.Second)
	e.Err = cause
	return e
}

// errConflict is a request that contradicts the state of an earlier one.
func errConflict(message, hint string) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeConflict, Message: message, Hint: hint}
}

// errLostJob ends a request whose job is gone.
func errLostJob() *resnet18cloud.Error {
	return errLost("The image was accepted but is no longer in the queue: its storage was damaged or removed")
}

// errLostRecord ends a request whose record is gone.
func errLostRecord() *resnet18cloud.Error {
	return errLost("The image was accepted, but it or its result was lost: the storage was damaged or removed")
}

func errLost(message string) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeLost, Message: message,
		Hint: "send it again; the same Idempotency-Key may be used"}
}

// errDeadline ends a request whose deadline has passed.
func errDeadline() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeDeadline, Message: "Deadline passed before the image was classified",
		Hint: "allow more time, or send fewer images at a time"}
}

// errAttempts ends a request that has used up its attempts.
func errAttempts(attempts int) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: fmt.Sprintf("Gave up after %d attempts", attempts),
		Hint: "see the dispatcher's log for the causes"}
}
