package dispatch_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// connect sends text on a separate connection, which is closed at the end of the test.
func (c *client) connect(text string) *net.TCPConn {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		c.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// TestSilentUploadsBlockNobody checks that clients which announce an image and do not send it block no other request,
// whichever endpoint they use.
func TestSilentUploadsBlockNobody(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{MinUploadRate: -1}, 1, opened()) // no client is cut off for ten minutes
	for i := range 300 {
		path, kind := "/predict_async", "image/jpeg"
		if i%2 == 0 {
			path, kind = "/predict_batch", "multipart/form-data; boundary=b"
		}
		c.connect(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000000\r\n\r\n", path, kind))
	}
	c.http.Timeout = 30 * time.Second
	if a := c.post("/predict", "a.jpg", "x"); a.status != http.StatusOK {
		t.Errorf("POST /predict during silent uploads = %d %s", a.status, a.body)
	}
}

// TestSlowUploadIsRefused checks the response to a client that sends nothing.
func TestSlowUploadIsRefused(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{MinUploadRate: 2000}, 1, opened())
	conn := c.connect("POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\nhalf")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), `"error":"Upload is slower than 1.953 KiB/s"`) {
		t.Errorf("slow upload: %d %s %v, want 408", response.StatusCode, body, err)
	}
}

// TestHalfClosedClients checks that clients which close their sending side after the request get their response.
func TestHalfClosedClients(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)
	id := c.submit("a.jpg", "x")
	<-g.arrived
	for name, test := range map[string]struct{ request, want string }{
		"result":    {"GET /result/" + id + " HTTP/1.1\r\nHost: localhost\r\n\r\n", `"status":"processing"`},
		"results":   {"GET /results HTTP/1.1\r\nHost: localhost\r\n\r\n", `"total":`},
		"long-poll": {"GET /result/" + id + "?wait=0.3 HTTP/1.1\r\nHost: localhost\r\n\r\n", `"status":"processing"`},
		"status":    {"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", `"queue_size":`},
		"ready":     {"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n", `"status":"ready"`},
		"metrics":   {"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "go_goroutines"},
		"unknown":   {"DELETE /result/" + testutil.ID("none") + " HTTP/1.1\r\nHost: localhost\r\n\r\n", `"code":"not_found"`},
		"batch":     {"POST /predict_batch HTTP/1.1" + batchOf("one", "two"), `"status":"queued"`},
		"submit":    {"POST /predict_async HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\nfour", `"status":"queued"`},
		"predict":   {"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1\r\n\r\nx", `"predictions":`},
	} {
		conn := c.connect(test.request)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if name == "predict" {
			c.eventually("the request is shared", func() bool { return c.d.Sharing("x") >= 1 })
			defer func() { // after the others, which need the image to be in progress
				close(g.open)
				answered(t, name, conn, test.want)
			}()
			continue
		}
		answered(t, name, conn, test.want)
	}
}

// TestClientsThatLeaveAreNoFaults has clients close their sending side in HTTP/1.0, which looks like disconnecting, and
// checks that neither the response nor the log shows this as a failure of the server.
func TestClientsThatLeaveAreNoFaults(t *testing.T) {
	t.Parallel()
	g := newGate()
	defer close(g.open)
	var log testutil.Log
	c := startServing(t, dispatch.Config{Log: logs.New(&log, slog.LevelInfo, "text")}, 1, g)
	id := c.submit("a.jpg", "x")
	<-g.arrived
	const image = " HTTP/1.0\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n"
	for name, request := range map[string]string{
		"status":           "GET /status HTTP/1.0\r\n\r\n",
		"ready":            "GET /health/ready HTTP/1.0\r\n\r\n",
		"batch":            "POST /predict_batch HTTP/1.0" + batchOf("one", "two"),
		"result":           "GET /result/" + id + " HTTP/1.0\r\n\r\n",
		"results":          "GET /results HTTP/1.0\r\n\r\n",
		"long-poll":        "GET /result/" + id + "?wait=1 HTTP/1.0\r\n\r\n",
		"submit":           "POST /predict_async" + image + "\r\nfour",
		"submit with key":  "POST /predict_async" + image + "Idempotency-Key: a\r\n\r\nfour",
		"predict":          "POST /predict" + image + "\r\nfive",
		"predict with key": "POST /predict" + image + "Idempotency-Key: b\r\n\r\nfive",
		"cancel":           "DELETE /result/" + id + " HTTP/1.0\r\n\r\n",
	} {
		conn := c.connect(request)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(conn)
		if status, _, _ := strings.Cut(strings.TrimPrefix(string(text), "HTTP/1.0 "), " "); err != nil || len(status) != 3 || status[0] == '5' {
			t.Errorf("%s: %.100q %v, want no status of the server's", name, text, err)
		}
	}
	c.eventually("the log has who left", func() bool { return len(log.Lines(`msg="clients left before the response"`)) > 0 })
	if lines := append(log.Lines("level=ERROR"), log.Lines("reachable")...); len(lines) > 0 {
		t.Errorf("the log shows clients that left as faults: %q", lines)
	}
}

// batchOf is the rest of a request with images in a form, after the version of HTTP.
func batchOf(contents ...string) string {
	var body strings.Builder
	for _, content := range contents {
		body.WriteString("--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a.jpg\"\r\n\r\n" + content + "\r\n")
	}
	body.WriteString("--b--\r\n")
	return fmt.Sprintf("\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", body.Len(), body.String())
}

// answered reads a response, after any interim responses.
func answered(t *testing.T, name string, conn net.Conn, want string) {
	t.Helper()
	text, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), " 503 ") {
		t.Errorf("%s: %s %v, want %s", name, text, err, want)
	}
}
