package dispatch_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
)

const (
	resetConnections = 4
	resetTime        = 500 * time.Millisecond
)

// TestRapidReset has clients open streams of HTTP/2 and reset them immediately, as fast as they can (CVE-2023-44487),
// without a key and with one, beside a good client. It does not run in parallel with others: it counts the goroutines of
// the process.
func TestRapidReset(t *testing.T) {
	if testing.Short() || withRace {
		t.Skip("keeps all CPUs busy for seconds; the race detector makes many of it")
	}
	c := startServing(t, dispatch.Config{Access: accesstest.Guard(t), CacheSize: -1}, 2, opened())
	good := c.as(accesstest.Shop)
	if a := good.post("/predict", "a.jpg", "first"); a.status != http.StatusOK {
		t.Fatalf("POST /predict = %d %s", a.status, a.body)
	}
	for _, attack := range []reset{
		{path: "/health/ready"},
		{path: "/predict", body: "image"},
		{path: "/predict", body: "image", token: accesstest.Blog},
		{path: "/results", token: accesstest.Blog},
	} {
		name := attack.path + " " + attack.token
		t.Run(name, func(t *testing.T) {
			c.http.CloseIdleConnections()
			before, peak := runtime.NumGoroutine(), 0
			end := time.Now().Add(resetTime)
			var all sync.WaitGroup
			for range resetConnections {
				all.Go(func() {
					for time.Now().Before(end) {
						attack.run(t, strings.TrimPrefix(c.url, "http://"), end)
					}
				})
			}
			images := 0
			for ; time.Now().Before(end); images++ {
				if a := good.post("/predict", "a.jpg", name+strconv.Itoa(images)); a.status != http.StatusOK {
					t.Errorf("POST /predict beside the attack = %d %s", a.status, a.body)
				}
				peak = max(peak, runtime.NumGoroutine())
			}
			all.Wait()
			t.Logf("%d streams, %d good images, at most %d goroutines, before %d", resets.Swap(0), images, peak, before)
			if images == 0 {
				t.Error("no good image")
			}
			// A connection has at most 100 requests at a time; some have ended and are not gone.
			if most := before + resetConnections*300; peak > most {
				t.Errorf("%d goroutines, want at most %d", peak, most)
			}
			c.eventually("goroutines have ended", func() bool {
				c.http.CloseIdleConnections()
				return runtime.NumGoroutine() <= before+10
			})
		})
	}
}

// resets counts the streams of all attacks.
var resets atomic.Int64

// reset is a request whose stream is reset.
type reset struct {
	path, token, body string
}

// run opens and resets streams on one connection until the end, or until the server closes it.
func (a reset) run(t *testing.T, addr string, end time.Time) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	read := make(chan struct{})
	go func() { defer close(read); _, _ = io.Copy(io.Discard, conn) }()
	defer func() {
		_ = conn.(*net.TCPConn).CloseWrite() // the server closes the connection after what it has received
		<-read
		_ = conn.Close()
	}()
	_ = conn.SetWriteDeadline(end.Add(time.Second))
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&out, nil)
	_ = f.WriteSettings() // to a buffer, like the following
	for id := uint32(1); time.Now().Before(end); {
		for range 50 {
			a.write(f, id)
			id += 2
		}
		if _, err := conn.Write(out.Bytes()); err != nil {
			return // the server has had enough
		}
		out.Reset()
		resets.Add(50)
	}
}

// write writes a request and its reset.
func (a reset) write(f *http2.Framer, id uint32) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSize(0) // each block stands alone
	method := http.MethodGet
	if a.body != "" {
		method = http.MethodPost
	}
	fields := [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "localhost"}, {":path", a.path}}
	if a.token != "" {
		fields = append(fields, [2]string{"authorization", "Bearer " + a.token})
	}
	if method == http.MethodPost {
		fields = append(fields, [2]string{"content-type", "image/jpeg"}, [2]string{"content-length", strconv.Itoa(len(a.body))})
	}
	for _, field := range fields {
		_ = e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: method == http.MethodGet})
	if a.body != "" {
		_ = f.WriteData(id, true, []byte(a.body))
	}
	_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
}
