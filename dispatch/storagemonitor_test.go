package dispatch

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
)

// part is a queue or a store whose writes end as a function says, by their number from 1.
type part struct {
	write func(n int64) error
	n     atomic.Int64
}

func (p *part) Probe(context.Context) error { return p.write(p.n.Add(1)) }

// TestWriteOrCount writes to a part that does not respond, while one real server is there and another may be.
func TestWriteOrCount(t *testing.T) {
	t.Parallel()
	broken := errors.New("write error")
	tests := map[string]struct {
		write   func(n int64) error
		greets  int64 // the second server greets after so many writes; 0 means never
		time    time.Duration
		servers int
		err     error
	}{
		"a slow server is waited for": {func(int64) error { return nats.ErrTimeout }, 3, time.Minute, 2, nats.ErrTimeout},
		"a write succeeds before it is there": {func(n int64) error {
			if n < 3 {
				return nats.ErrTimeout
			}
			return nil
		}, 0, time.Minute, -1, nil},
		"a write is rejected before it is there": {func(n int64) error {
			if n < 3 {
				return nats.ErrDisconnected
			}
			return broken
		}, 0, time.Minute, -1, broken},
		"one of three is there": {func(int64) error { return nats.ErrTimeout }, 0, 500 * time.Millisecond, 1, nats.ErrTimeout},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			greet := make(chan struct{})
			m := &storageMonitor{kind: storageKind{replicas: 3}, probed: []prober{&part{write: func(n int64) error {
				if n == test.greets {
					close(greet)
				}
				return test.write(n)
			}}}}
			conn := connect(t, lateServer(t, greet))
			ctx, cancel := context.WithTimeout(t.Context(), test.time)
			defer cancel()
			errs, servers := m.writeOrCount(ctx, conn)
			if err := joined(errs); !errors.Is(err, test.err) || servers != test.servers {
				t.Errorf("writeOrCount = %v, %d servers; want %v, %d", err, servers, test.err, test.servers)
			}
		})
	}
}

// TestWriteOrCountKnowsOneServer writes while the only known server is there and elects a leader with others, which it does not know
// of yet: they have the whole time of the probe.
func TestWriteOrCountKnowsOneServer(t *testing.T) {
	t.Parallel()
	m := &storageMonitor{kind: storageKind{replicas: 3}, probed: []prober{&part{write: func(n int64) error {
		if n < 5 {
			return nats.ErrNoResponders
		}
		return nil
	}}}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errs, servers := m.writeOrCount(ctx, connect(t))
	if err := joined(errs); err != nil || servers != -1 {
		t.Errorf("writeOrCount = %v, %d servers; want nil, -1", err, servers)
	}
}

// connect opens a connection to a NATS server of its own, which knows of others.
func connect(t *testing.T, others ...string) *natsconn.Conn {
	t.Helper()
	s := natstest.Serve(t, server.Options{})
	conn, err := natsconn.Open(t.Context(), natsconn.Config{URL: strings.Join(append(others, s.ClientURL()), ",")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// lateServer accepts connections, as the kernel does for a process that gets no CPU, and greets once greet is closed.
func lateServer(t *testing.T, greet <-chan struct{}) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-greet:
		case <-t.Context().Done():
			return
		}
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("INFO {\"server_id\":\"LATE\"} \r\n"))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "nats://" + l.Addr().String()
}
