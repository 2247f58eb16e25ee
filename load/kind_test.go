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
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/load/target"
)

// TestErrorKind wraps each error, as clients do.
func TestErrorKind(t *testing.T) {
	t.Parallel()
	for want, causes := range map[string][]error{
		"full":               {&resnet18cloud.Error{Code: resnet18cloud.CodeFull}},
		"status 429":         {&target.StatusError{Status: 429}},
		"unreadable answer":  {&target.InvalidAnswerError{Err: io.EOF}, new(json.SyntaxError), new(json.UnmarshalTypeError)},
		"timeout":            {context.DeadlineExceeded, os.ErrDeadlineExceeded, &net.DNSError{IsTimeout: true}},
		"stopped":            {context.Canceled},
		"connection refused": {syscall.ECONNREFUSED},
		"connection reset":   {syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF},
		"unreadable image":   {fs.ErrNotExist, fs.ErrPermission},
		"transport":          {errors.New("other"), &net.DNSError{}},
	} {
		for _, cause := range causes {
			if got := errorKind(fmt.Errorf("send: %w", cause)); got != want {
				t.Errorf("errorKind(%T %v) = %q, want %q", cause, cause, got, want)
			}
		}
	}
}
