package natsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// host is what listens at an address.
type host struct {
	refuses time.Duration // it refuses connections until then
	line    string        // what it sends
	later   string        // what it sends from the second connection on, if not line: there are several servers
	after   time.Duration // how long after a connection
}

const never = time.Hour

// TestRollCall lets two greetings be enough, within 1.4 s.
func TestRollCall(t *testing.T) {
	t.Parallel()
	info := func(id string) string { return fmt.Sprintf("INFO {\"server_id\":%q,\"port\":4222} \r\n", id) }
	tests := map[string]struct {
		hosts []host
		want  int
		took  time.Duration
	}{
		"all are there":                       {[]host{{line: info("A")}, {line: info("B")}, {line: info("C")}}, 2, 0},
		"one is slow, one is gone":            {[]host{{line: info("A")}, {line: info("B"), after: 1300 * time.Millisecond}, {refuses: never}}, 2, 1300 * time.Millisecond},
		"one starts, one is stopped":          {[]host{{line: info("A")}, {line: info("B"), refuses: time.Second}, {after: never}}, 2, time.Second},
		"two are stopped":                     {[]host{{line: info("A")}, {after: never}, {after: never}}, 1, 1400 * time.Millisecond},
		"two are gone":                        {[]host{{line: info("A")}, {refuses: never}, {refuses: never}}, 1, 1400 * time.Millisecond},
		"one greets too late":                 {[]host{{line: info("A")}, {line: info("B"), after: 1500 * time.Millisecond}, {refuses: never}}, 1, 1400 * time.Millisecond},
		"two addresses lead to one server":    {[]host{{line: info("A")}, {line: info("A")}, {refuses: never}}, 1, 1400 * time.Millisecond},
		"one address leads to two servers":    {[]host{{line: info("A"), later: info("B")}}, 2, 100 * time.Millisecond},
		"something else listens":              {[]host{{line: info("A")}, {line: "HTTP/1.1 400 Bad Request\r\n"}, {line: "INFO {\r\n"}}, 1, 1400 * time.Millisecond},
		"no address is known, none can greet": {nil, 0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 1400*time.Millisecond)
				defer cancel()
				hosts := map[string]struct{}{}
				for i := range test.hosts {
					hosts[fmt.Sprint(i)] = struct{}{}
				}
				got := rollCall(ctx, hosts, 2, func(_ context.Context, _, address string) (net.Conn, error) {
					var i int
					if _, err := fmt.Sscan(address, &i); err != nil {
						return nil, err
					}
					return test.hosts[i].accept(start)
				})
				if took := time.Since(start); got != test.want || took != test.took {
					t.Errorf("rollCall = %d after %s, want %d after %s", got, took, test.want, test.took)
				}
			})
		})
	}
}

// accept answers a dial.
func (h host) accept(start time.Time) (net.Conn, error) {
	if time.Since(start) < h.refuses {
		return nil, errors.New("connection refused")
	}
	line := h.line
	if time.Since(start) > 0 && h.later != "" {
		line = h.later
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		gone := make(chan struct{})
		go func() { defer close(gone); _, _ = theirs.Read(make([]byte, 1)) }() // until the other end closes
		select {
		case <-time.After(h.after):
			_, _ = theirs.Write([]byte(line))
		case <-gone:
		}
	}()
	return ours, nil
}
