//go:build httpfuzz

package httpfuzz

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

const (
	connections = 8                      // to each server at a time
	patience    = 500 * time.Millisecond // for each response; a connection that gets none is closed
	goodEvery   = 100 * time.Millisecond
	served      = 20 * time.Second // within which a good client must be served, refusals for lack of capacity included
)

// server is a program under test.
type server struct {
	*harness.Process
	addr   string
	before harness.Gauges // zero if /metrics needs a key
}

func (s *server) url() string { return "http://" + s.addr }

func start(t *testing.T, name string, args ...string) *server {
	t.Helper()
	addr, program := harness.FreeAddr(t), harness.Program(t)
	args = append([]string{"--log-level", "debug"}, append(args, "--addr", addr)...)
	cache := t.TempDir() // without weights
	s := &server{addr: addr, Process: harness.Start(t, name, func() *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
		return cmd
	})}
	if err := harness.AwaitOK(t.Context(), time.Minute, s.url()+"/health/ready"); err != nil {
		t.Fatal(err)
	}
	return s
}

// newKey makes a key that may do everything, and returns the keys file and the token.
func newKey(t *testing.T) (file, token string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "keys")
	line, err := exec.CommandContext(t.Context(), harness.Program(t), "keys", "new", "fuzzer", "--scopes", "admin", "--token-file", filepath.Join(dir, "token")).Output()
	if err == nil {
		err = os.WriteFile(file, line, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(text))
}

// TestServersSurviveAnyBytes sends random HTTP for HTTPFUZZ_SECONDS, 60 by default. HTTPFUZZ_SEED repeats a run, as far as
// timing allows.
func TestServersSurviveAnyBytes(t *testing.T) {
	seed := uint64(harness.Setting(t, "HTTPFUZZ_SEED", int(time.Now().UnixNano()%1e9)))
	seconds := harness.Setting(t, "HTTPFUZZ_SECONDS", 60)
	t.Logf("HTTPFUZZ_SEED=%d", seed)
	replica := start(t, "replica", "replica", "--random-weights")
	dispatcher := start(t, "dispatcher", "dispatcher", "--data-dir", t.TempDir(), "--endpoints", replica.url())
	keys, token := newKey(t)
	guarded := start(t, "dispatcher with keys", "dispatcher", "--data-dir", t.TempDir(), "--endpoints", replica.url(), "--keys", keys)
	servers := []*server{dispatcher, replica, guarded}

	good := &goodClient{client: &http.Client{Timeout: served, Transport: &http.Transport{DisableKeepAlives: true}}}
	good.run(t.Context(), servers, time.Now().Add(2*time.Second)) // opens what stays open
	for _, s := range servers[:2] {
		g, err := harness.ReadGauges(t.Context(), s.url())
		if err != nil {
			t.Fatal(err)
		}
		s.before = g
	}

	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var all sync.WaitGroup
	var fuzzers []*fuzzer
	all.Go(func() { good.run(t.Context(), servers, end) })
	for _, s := range servers {
		for range connections {
			f := &fuzzer{server: s, generator: newGenerator(seed, uint64(len(fuzzers)), token)}
			fuzzers = append(fuzzers, f)
			all.Go(func() { f.run(t.Context(), end) })
		}
	}
	all.Wait()

	report(t, fuzzers)
	good.report(t)
	for _, s := range servers {
		s.judge(t)
		if s.Crashed() != nil {
			for _, f := range fuzzers {
				if f.server == s {
					t.Logf("last on a connection to %s: %s", s.Name(), quoted(f.last))
				}
			}
		}
	}
}

// trouble is what a log must not contain, whatever clients send.
var trouble = regexp.MustCompile(`panic|runtime error|fatal error|level=ERROR|DATA RACE`)

// judge checks a server after the load: it runs, its log has no trouble, and it has returned to what it used before.
func (s *server) judge(t *testing.T) {
	t.Helper()
	if err := s.Crashed(); err != nil {
		t.Errorf("%v\n%s", err, s.Tail(4000))
		return
	}
	if at := trouble.FindStringIndex(s.Log()); at != nil {
		log := s.Log()
		t.Errorf("log of %s: %s", s.Name(), log[max(0, at[0]-500):min(len(log), at[1]+3000)])
	}
	if s.before == (harness.Gauges{}) {
		return
	}
	// Connections from the dispatcher to the replica stay open for a minute, those of clients that vanished for two.
	err := harness.Await(t.Context(), 3*time.Minute, func(ctx context.Context) error {
		g, err := harness.ReadGauges(ctx, s.url())
		if err != nil {
			return err
		}
		t.Logf("%s: %d goroutines and %d descriptors, before %d and %d", s.Name(), g.Goroutines, g.OpenFDs, s.before.Goroutines, s.before.OpenFDs)
		return grown(g, s.before)
	})
	if err != nil {
		t.Errorf("%s has not returned to what it used before: %v", s.Name(), err)
	}
}

// grown returns an error if more is in use than before, beyond what the garbage collector and open files explain.
func grown(now, before harness.Gauges) error {
	const goroutines, descriptors = 10, 6
	if now.Goroutines > before.Goroutines+goroutines || now.OpenFDs > before.OpenFDs+descriptors {
		return fmt.Errorf("%d goroutines and %d descriptors, before %d and %d", now.Goroutines, now.OpenFDs, before.Goroutines, before.OpenFDs)
	}
	return nil
}

// fuzzer sends what a generator makes, over one connection after the other.
type fuzzer struct {
	server    *server
	generator *generator

	connections int
	statuses    map[int]int
	findings    [][2]string // status line and request, up to 3
	last        []byte      // that was sent
}

func (f *fuzzer) run(ctx context.Context, end time.Time) {
	f.statuses = map[int]int{}
	for ctx.Err() == nil && time.Now().Before(end) {
		c, err := net.DialTimeout("tcp", f.server.addr, time.Second)
		if err != nil { // it is dead, which judge reports, or out of descriptors, which the good client notices
			pause.For(ctx, 100*time.Millisecond)
			continue
		}
		f.connections++
		f.talk(c)
		_ = c.Close()
	}
}

// talk sends the bytes of one connection, in one piece or several, and reads what comes back.
func (f *fuzzer) talk(c net.Conn) {
	g := f.generator
	sent := g.connection()
	f.last = sent
	half, leave, pieces := !g.one(3), g.one(10), 1
	if g.one(5) {
		pieces = 1 + g.rng.IntN(10)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), len(sent)/pieces+1)
			if _, err := c.Write(rest[:n]); err != nil {
				return // refused halfway, which is fine
			}
			rest = rest[n:]
		}
		if half { // the server then closes the connection after its last response
			_ = c.(*net.TCPConn).CloseWrite()
		}
	}()
	defer func() { <-written }()
	defer c.Close() // ends the writing
	if leave {
		return
	}
	f.read(c, sent)
}

// read reads responses until there are no more.
func (f *fuzzer) read(c net.Conn, sent []byte) {
	answers := bufio.NewReader(io.LimitReader(c, 16<<20))
	for {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		start, err := answers.Peek(5)
		if err != nil || !bytes.Equal(start, []byte("HTTP/")) { // HTTP/2, or the rest of a response without a length
			return
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return
		}
		f.statuses[response.StatusCode]++
		if !allowed(response.StatusCode, sent) && len(f.findings) < 3 {
			text, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // what there is of it
			f.findings = append(f.findings, [2]string{response.Status + " " + string(text), quoted(sent)})
		}
		if response.StatusCode < 200 {
			continue // an interim response
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return
		}
	}
}

// timeout is the header with which a client asks for 504.
var timeout = regexp.MustCompile(`(?i)x-request-timeout`)

// allowed reports whether a request may get the status. net/http itself answers 501 to an unknown transfer coding (RFC
// 9112, section 6.1) and 505 to an unknown version (RFC 9110, section 15.6.6).
func allowed(status int, sent []byte) bool {
	switch status {
	case http.StatusServiceUnavailable, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return true
	case http.StatusGatewayTimeout:
		return timeout.Match(sent)
	}
	return status < http.StatusInternalServerError
}

func quoted(b []byte) string {
	const most = 1500
	if len(b) > most {
		return fmt.Sprintf("%q... (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// report fails the test for each finding, and logs how many responses had which status.
func report(t *testing.T, fuzzers []*fuzzer) {
	t.Helper()
	statuses, sent := map[string]map[int]int{}, map[string]int{}
	for _, f := range fuzzers {
		name := f.server.Name()
		if statuses[name] == nil {
			statuses[name] = map[int]int{}
		}
		for status, n := range f.statuses {
			statuses[name][status] += n
		}
		sent[name] += f.connections
		for _, finding := range f.findings {
			t.Errorf("%s answers %s to %s", name, finding[0], finding[1])
		}
	}
	for name, n := range sent {
		t.Logf("%s: %d connections, responses %v", name, n, statuses[name])
		if statuses[name][http.StatusOK] == 0 || name == "dispatcher with keys" && statuses[name][http.StatusUnauthorized] == 0 || statuses[name][http.StatusBadRequest] == 0 {
			t.Errorf("%s: responses %v: the requests do not reach its handlers", name, statuses[name])
		}
	}
}

// goodClient sends images to the dispatcher and asks the replica for its health.
type goodClient struct {
	client *http.Client
	images int
	most   time.Duration // for one of them
	errs   []error
}

func (g *goodClient) run(ctx context.Context, servers []*server, end time.Time) {
	picture := pictures()[0]
	tick := time.NewTicker(goodEvery)
	defer tick.Stop()
	for ; time.Now().Before(end); <-tick.C {
		g.images++
		began := time.Now()
		// Data after the end of the image is ignored, and makes it unique.
		body := fmt.Appendf(bytes.Clone(picture), "%012d", g.images)
		err := harness.Await(ctx, served, func(ctx context.Context) error { return g.predict(ctx, servers[0].url(), body) })
		if err == nil {
			err = harness.AwaitOK(ctx, served, servers[1].url()+"/health/live")
		}
		if err != nil {
			g.errs = append(g.errs, err)
		}
		g.most = max(g.most, time.Since(began))
	}
}

// predict sends an image. Of statuses other than 200 only 503 is worth another try.
func (g *goodClient) predict(ctx context.Context, url string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/predict", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "image/jpeg")
	response, err := g.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable:
		g.errs = append(g.errs, fmt.Errorf("%s %.200s", response.Status, text))
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %.200s", response.Status, text)
	}
	return nil
}

func (g *goodClient) report(t *testing.T) {
	t.Helper()
	t.Logf("good client: %d images, at most %s for one", g.images, g.most)
	for _, err := range g.errs[:min(len(g.errs), 5)] {
		t.Errorf("the good client was not served: %v", err)
	}
}
