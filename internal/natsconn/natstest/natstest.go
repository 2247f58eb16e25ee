// Package natstest gives tests a NATS server of their own. Only tests import it.
package natstest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// Open starts a server in this process that ends with the test.
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

// Clock has goleak overlook the clock that NATS keeps for the life of a process.
func Clock() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1")
}
