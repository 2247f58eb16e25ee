package replica_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/replica"
)

// TestHalfClosedClients has clients close their sending side after the request. With HTTP/1.1 they get their response; with
// HTTP/1.0 it looks like disconnecting, and is no fault of the server.
func TestHalfClosedClients(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := start(t, replica.Config{Concurrency: 2}, g)
	type client struct {
		name, want string
		conn       net.Conn
	}
	var clients []client
	for _, version := range []string{"1.0", "1.1"} {
		for name, want := range map[string]string{"POST /predict": `"predictions":`, "GET /info": `"concurrency":2`, "GET /health/ready": `"status":"ready"`} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "%s HTTP/%s\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", name, version)
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, client{name + " " + version, want, conn})
		}
	}
	<-g.arrived
	eventually(t, func() bool { return metric(t, r.url, `resnet18_replica_requests_total{outcome="cancelled"}`) == 1 }) // of HTTP/1.0
	close(g.open)
	for _, c := range clients {
		text, err := io.ReadAll(c.conn)
		answer := string(text)
		if leaves := c.name == "POST /predict 1.0"; err != nil || strings.HasPrefix(answer[min(len(answer), len("HTTP/1.1 ")):], "5") || strings.Contains(answer, c.want) == leaves {
			t.Errorf("%s: %q %v, want %s", c.name, answer, err, c.want)
		}
	}
	if lines := r.log.Lines("level=ERROR"); len(lines) > 0 {
		t.Errorf("the log shows clients that left as faults: %q", lines)
	}
}
