// Package natstest provides NATS servers for tests. Only tests import it.
package natstest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// Open starts an embedded server that stops at the end of the test.
func Open(tb testing.TB) *natsconn.Conn {
	tb.Helper()
	conn, err := natsconn.Open(tb.Context(), natsconn.Config{DataDir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Errorf("close NATS: %v", err)
		}
	})
	return conn
}

// Clock makes goleak ignore the clock goroutine that NATS starts once per process.
func Clock() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1")
}
