package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"testing"
)

func TestProbeEvent(t *testing.T) {
	t.Parallel()
	get := func(err error) error { return &url.Error{Op: "Get", URL: address, Err: err} }
	dial := func(err error) error { return get(&net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	for name, test := range map[string]struct {
		err  error
		want eventKind
	}{
		"ready":                   {nil, probeSucceeded},
		"timeout":                 {get(context.DeadlineExceeded), probeUnanswered},
		"timeout in body":         {fmt.Errorf("GET %s: %w", address, context.DeadlineExceeded), probeUnanswered},
		"refused":                 {dial(syscall.ECONNREFUSED), probeFailed},
		"reset":                   {get(syscall.ECONNRESET), probeFailed},
		"no way":                  {dial(syscall.ENETUNREACH), probeUnreachable},
		"no host":                 {dial(syscall.EHOSTUNREACH), probeUnreachable},
		"out of file descriptors": {dial(syscall.EMFILE), probeFailed}, // in this process, not the replica's fault
		"not ready":               {errors.New("returned status 503"), probeFailed},
		"unknown error":           {get(context.Canceled), probeFailed},
	} {
		if got := probeEvent(test.err); got != test.want {
			t.Errorf("%s: event %d, want %d", name, got, test.want)
		}
	}
}
