package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestPause(t *testing.T) {
	t.Parallel()
	refused := func(code resnet18cloud.Code, after time.Duration) error {
		return fmt.Errorf("submit: %w", &resnet18cloud.Error{Code: code, RetryAfter: after})
	}
	dial := &connectionError{&net.OpError{Op: "dial", Err: errors.New("connection refused")}}
	broken := &connectionError{&net.OpError{Op: "read", Err: errors.New("connection reset")}}
	untrusted := &connectionError{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}}
	three := Retry{Attempts: 3}
	for name, test := range map[string]struct {
		retry    Retry
		attempts int
		err      error
		harmless bool
		random   float64
		want     time.Duration // -1: the error is final
	}{
		"zero value":               {Retry{}, 1, refused(resnet18cloud.CodeFull, time.Second), true, 0, -1},
		"as the server asks":       {three, 1, refused(resnet18cloud.CodeFull, 1700*time.Millisecond), false, 0, 1700 * time.Millisecond},
		"and up to a quarter more": {three, 1, refused(resnet18cloud.CodeRateLimited, 4*time.Second), false, 1, 5 * time.Second},
		"last attempt":             {three, 3, refused(resnet18cloud.CodeFull, time.Second), false, 0, -1},
		"longer than allowed":      {three, 1, refused(resnet18cloud.CodeFull, 31*time.Second), false, 0, -1},
		"longer than the user's":   {Retry{2, time.Second}, 1, refused(resnet18cloud.CodeFull, 1001*time.Millisecond), false, 0, -1},
		"first without a time":     {three, 1, refused(resnet18cloud.CodeUnavailable, 0), false, 0, 200 * time.Millisecond},
		"second without a time":    {three, 2, refused(resnet18cloud.CodeLost, 0), false, 1, 500 * time.Millisecond},
		"never above the limit":    {Retry{1000, time.Second}, 900, refused(resnet18cloud.CodeUnavailable, 0), false, 0, time.Second},
		"nor above the default":    {Retry{Attempts: 1000}, 900, refused(resnet18cloud.CodeUnavailable, 0), false, 0, 30 * time.Second},
		"broken image":             {three, 1, refused(resnet18cloud.CodeUndecodable, 0), true, 0, -1},
		"deadline":                 {three, 1, refused(resnet18cloud.CodeDeadline, 0), true, 0, -1},
		"internal":                 {three, 1, refused(resnet18cloud.CodeInternal, 0), true, 0, -1},
		"no connection":            {three, 1, dial, false, 0, 200 * time.Millisecond},
		"connection broke":         {three, 1, broken, false, 0, -1},
		"broke, and is harmless":   {three, 1, broken, true, 0, 200 * time.Millisecond},
		"untrusted":                {three, 1, untrusted, true, 0, -1},
		"not JSON":                 {three, 1, errors.New("the answer is not JSON"), true, 0, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := test.retry.pause(test.attempts, test.err, test.harmless, test.random)
			if ok != (test.want >= 0) || ok && got != test.want {
				t.Errorf("pause = %v, %t, want %v", got, ok, test.want)
			}
		})
	}
}
