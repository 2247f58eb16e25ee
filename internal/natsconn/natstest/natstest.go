// Package natstest provides NATS servers for tests. Only tests import it.
package natstest

import (
	"flag"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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

// Serve runs a server outside of a connection on a port of 127.0.0.1, any free one if o has none, until the end of the test or until
// it is shut down.
func Serve(tb testing.TB, o server.Options) *server.Server {
	tb.Helper()
	o.Host, o.NoSigs = "127.0.0.1", true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&o)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		tb.Fatal("NATS server is not ready")
	}
	return s
}

// Clock makes goleak ignore the clock goroutine that NATS starts once per process.
func Clock() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1")
}

// Parallel lets more tests run at the same time than there are CPUs, because most of them wait for timeouts. Call it
// from TestMain. The flag -parallel overrides it.
func Parallel() {
	testing.Init()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err) // the flag exists in every test binary
	}
}
