package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/load/target"
)

// errorKind classifies an error, so that a summary counts few kinds.
func errorKind(err error) string {
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return string(e.Code)
	}
	if e, ok := errors.AsType[*target.StatusError](err); ok {
		return fmt.Sprintf("status %d", e.Status)
	}
	var timeout net.Error
	switch {
	case isA[*target.InvalidAnswerError](err), isA[*json.SyntaxError](err), isA[*json.UnmarshalTypeError](err):
		return "unreadable answer"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection reset"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "unreadable image"
	default:
		return "transport"
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
