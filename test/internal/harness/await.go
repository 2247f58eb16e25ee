package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// Await calls is every 50 ms until it returns nil. When limit has passed, or ctx ends, it returns the last error
// before that.
func Await(ctx context.Context, limit time.Duration, is func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := is(limited)
		if err == nil {
			return nil
		}
		if last == nil || limited.Err() == nil {
			last = err // an error caused by the limit is not informative
		}
		if limited.Err() != nil {
			return fmt.Errorf("after %s: %w", limit, last)
		}
		pause.For(limited, 50*time.Millisecond)
	}
}

// probe waits as long as a busy machine may need; a process that hangs needs longer.
var probe = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// OK returns nil if the URL returns 200.
func OK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := probe.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", url, resp.StatusCode)
	}
	return nil
}

// AwaitOK waits until the URL returns 200.
func AwaitOK(ctx context.Context, limit time.Duration, url string) error {
	return Await(ctx, limit, func(ctx context.Context) error { return OK(ctx, url) })
}

// AwaitListener waits until the TCP address has a listener.
func AwaitListener(ctx context.Context, limit time.Duration, addr string) error {
	return Await(ctx, limit, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}
