package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
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

// TestModelList checks which lists of models are read.
func TestModelList(t *testing.T) {
	t.Parallel()
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]" }
	for text, test := range map[string]struct {
		models int
		reason string
	}{
		"null":                            {},
		"[]":                              {},
		`[{"name":"a"},{"name":"b"}]`:     {models: 2},
		`[null]`:                          {models: 1},
		`17`:                              {reason: "models is not a list"},
		`{"name":"a"}`:                    {reason: "models is not a list"},
		`[17]`:                            {reason: "cannot unmarshal number"},
		`[{"name":17}]`:                   {reason: "cannot unmarshal number"},
		list(maxModels):                   {models: maxModels},
		list(maxModels + 1):               {reason: "it lists more than 16384 models"},
		list(maxModelsBytes / len("{},")): {reason: "it lists more than 16384 models"},
	} {
		var l modelList
		err := json.Unmarshal([]byte(text), &l)
		if got := fmt.Sprint(err); err == nil && (test.reason != "" || len(l) != test.models) || err != nil && (test.reason == "" || !strings.Contains(got, test.reason)) {
			t.Errorf("%.40s: %d models, %v; want %d, %q", text, len(l), err, test.models, test.reason)
		}
		if cap(l) > 2*maxModels {
			t.Errorf("%.40s: there is memory for %d models", text, cap(l))
		}
	}
}
