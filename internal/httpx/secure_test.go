package httpx

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
)

// certificate returns files for a server, without client certificates, and the authority.
func certificate(t testing.TB) (tlsfiles.Files, *tlstest.Authority) {
	t.Helper()
	authority := tlstest.NewAuthority(t)
	files := authority.Issue(t)
	files.CA = ""
	return files, authority
}

// newClient returns a client with one protocol that ends with the test.
func newClient(t *testing.T, config *tls.Config, protocol func(*http.Protocols, bool)) *http.Client {
	t.Helper()
	var p http.Protocols
	protocol(&p, true)
	transport := &http.Transport{TLSClientConfig: config, Protocols: &p}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// TestProtocols sends images with each protocol, over TLS and without.
func TestProtocols(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	var seen struct {
		sync.Mutex
		proto  string
		secure bool
	}
	u := NewUploads(UploadLimits{})
	handler := Handler(slog.New(slog.DiscardHandler), func(w http.ResponseWriter, r *http.Request) error {
		seen.Lock()
		seen.proto, seen.secure = r.Proto, r.TLS != nil
		seen.Unlock()
		return u.Image(w, r, func(image resnet18cloud.Image) error {
			WriteJSON(w, http.StatusOK, len(image.Bytes))
			return nil
		})
	})
	plain, secure := serve(t, &Server{Handler: handler}), serve(t, &Server{Handler: handler, TLS: files})
	for name, test := range map[string]struct {
		url      string
		protocol func(*http.Protocols, bool)
		want     string
		secure   bool
	}{
		"HTTP/1.1":          {"http://" + plain, (*http.Protocols).SetHTTP1, "HTTP/1.1", false},
		"HTTP/2":            {"http://" + plain, (*http.Protocols).SetUnencryptedHTTP2, "HTTP/2.0", false},
		"HTTP/1.1 over TLS": {secure, (*http.Protocols).SetHTTP1, "HTTP/1.1", true},
		"HTTP/2 over TLS":   {secure, (*http.Protocols).SetHTTP2, "HTTP/2.0", true},
	} {
		client := newClient(t, &tls.Config{RootCAs: authority.Pool()}, test.protocol)
		for _, n := range []int{1, 100 << 10, 3 << 20} {
			resp, err := client.Post(test.url, "image/jpeg", bytes.NewReader(make([]byte, n)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != fmt.Sprint(n) || resp.Proto != test.want {
				t.Errorf("%s: %s %s %s, want %d bytes by %s", name, resp.Proto, resp.Status, body, n, test.want)
			}
			seen.Lock()
			if seen.proto != test.want || seen.secure != test.secure {
				t.Errorf("%s: the handler sees %s, TLS %t", name, seen.proto, seen.secure)
			}
			seen.Unlock()
		}
	}
	if held := u.Held(); held != 0 {
		t.Errorf("%d bytes held at the end", held)
	}
}

// TestTLSVersions checks that TLS 1.1 is refused and 1.2 is not.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	url := serve(t, &Server{Handler: http.NotFoundHandler(), TLS: files})
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := newClient(t, &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: version}, (*http.Protocols).SetHTTP1)
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v, want success %t", tls.VersionName(version), err, want)
		}
	}
}

// dialTLS connects to a server with HTTP/1.1.
func dialTLS(t *testing.T, url string, authority *tlstest.Authority) *tls.Conn {
	t.Helper()
	c := tls.Client(dial(t, strings.TrimPrefix(url, "https://")), &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost"})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestHalfClosedClientsOverTLS checks that a client that ends its sending side gets its response, and that a client
// that leaves is noticed.
func TestHalfClosedClientsOverTLS(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	left, release := make(chan struct{}), make(chan struct{})
	url := serve(t, &Server{TLS: files, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			left <- struct{}{}
		case <-release:
			_, _ = io.WriteString(w, "answer")
		}
	})})
	for name, request := range map[string]string{
		"GET":  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
	} {
		c := dialTLS(t, url, authority)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(c)
		for range 3 {
			if line, err := answers.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("%s: line %q %v, want an interim response", name, line, err)
			}
			if _, err := answers.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		release <- struct{}{}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != "answer" || err != nil {
			t.Errorf("%s: %q %v, want the answer", name, body, err)
		}
		for how, leave := range map[string]func(*tls.Conn) error{
			"says goodbye": (*tls.Conn).Close,
			"just leaves":  func(c *tls.Conn) error { return c.NetConn().Close() },
		} {
			c := dialTLS(t, url, authority)
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			_ = leave(c)
			select {
			case <-left:
			case <-time.After(30 * time.Second):
				t.Fatalf("%s: a client that %s is not noticed", name, how)
			}
		}
	}
}

// TestAnswersBeforeTheBodyOverTLS checks that a client that sends its whole body before it reads gets a response that was
// sent earlier.
func TestAnswersBeforeTheBodyOverTLS(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	url := serve(t, &Server{Handler: refusing, TLS: files})
	c := dialTLS(t, url, authority)
	if _, err := io.WriteString(c, head(10<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 10<<20)); err != nil {
		t.Fatalf("send: %v", err)
	}
	if status, _, err := readAnswer(c); status != http.StatusTeapot || err != nil {
		t.Errorf("answer %d %v", status, err)
	}
}

// TestMutualTLS checks which clients are served, by both protocols.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ours, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	url := serve(t, &Server{TLS: ours.Issue(t), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, len(r.TLS.PeerCertificates))
	})})
	load := func(f tlsfiles.Files) []tls.Certificate {
		c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	for name, test := range map[string]struct {
		certificates []tls.Certificate
		served       bool
	}{"ours": {load(ours.Issue(t)), true}, "a stranger's": {load(other.Issue(t)), false}, "none": {nil, false}} {
		for protocol, set := range map[string]func(*http.Protocols, bool){"HTTP/1.1": (*http.Protocols).SetHTTP1, "HTTP/2": (*http.Protocols).SetHTTP2} {
			resp, err := newClient(t, &tls.Config{RootCAs: ours.Pool(), Certificates: test.certificates}, set).Get(url)
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != test.served {
				t.Errorf("%s with %s certificate: %v, want it served %t", protocol, name, err, test.served)
			}
		}
	}
}

// TestCertificateIsReloaded checks that new connections get the new certificate, and that existing ones go on.
func TestCertificateIsReloaded(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	s := &Server{TLS: files, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	url := serve(t, s)
	before := dialTLS(t, url, authority)
	renewed := authority.Issue(t)
	for from, to := range map[string]string{renewed.Cert: files.Cert, renewed.Key: files.Key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.certs.Load(); err != nil { // Run does this every two seconds
		t.Fatal(err)
	}
	after := dialTLS(t, url, authority)
	if a, b := before.ConnectionState().PeerCertificates[0], after.ConnectionState().PeerCertificates[0]; a.Equal(b) {
		t.Error("a new connection gets the old certificate")
	}
	for _, c := range []*tls.Conn{before, after} {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if status, _, err := readAnswer(c); status != http.StatusOK {
			t.Errorf("answer %d %v", status, err)
		}
	}
}

// TestListenRefusesBadCertificates checks that a server without a usable certificate does not start.
func TestListenRefusesBadCertificates(t *testing.T) {
	t.Parallel()
	for _, f := range []tlsfiles.Files{{Cert: "missing", Key: "missing"}, {Cert: "missing"}, {CA: "missing"}} {
		s := &Server{Addr: "127.0.0.1:0", TLS: f}
		if err := s.Listen(); err == nil || s.listener != nil {
			t.Errorf("Listen with %+v = %v, want an error and no listener", f, err)
		}
	}
}

// TestHandshakesAreBounded checks clients that do not begin or finish the handshake: they are cut after the time for
// headers, others are served meanwhile, and the server ends in spite of them.
func TestHandshakesAreBounded(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	url := serve(t, &Server{TLS: files, Handler: http.NotFoundHandler(), HeaderTimeout: 300 * time.Millisecond})
	address := strings.TrimPrefix(url, "https://")
	silent, half := dial(t, address), dial(t, address)
	if _, err := half.Write([]byte{22, 3, 1, 1, 0, 1}); err != nil { // the start of a ClientHello
		t.Fatal(err)
	}
	if c := dialTLS(t, url, authority); c == nil {
		t.Error("another client is not served")
	}
	start := time.Now()
	for name, c := range map[string]net.Conn{"silent": silent, "half": half} {
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s client: %v", name, err)
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("clients without a handshake were cut after %s", d)
	}
	dial(t, address) // in its handshake when the server stops
}

// TestPlainHTTPToTLS checks that a client that forgot the s gets an answer that says so.
func TestPlainHTTPToTLS(t *testing.T) {
	t.Parallel()
	files, _ := certificate(t)
	address := strings.TrimPrefix(serve(t, &Server{TLS: files, Handler: http.NotFoundHandler()}), "https://")
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("x", 10000)} {
		c := dial(t, address)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if status, body, err := readAnswer(c); status != http.StatusBadRequest || !strings.Contains(body, "https://") {
			t.Errorf("answer %d %s %v, want 400 with the remedy", status, body, err)
		}
	}
	c := dial(t, address)
	_, _ = c.Write(make([]byte, 100))
	if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

// http2Client returns a client with HTTP/2 of a server in virtual time.
func http2Client(p *pipes) *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }}}
}

// slowBody sends portions at an interval.
type slowBody struct {
	left, portion int
	every         time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	time.Sleep(b.every)
	n := min(b.left, b.portion, len(p))
	b.left -= n
	return n, nil
}

// TestSlowUploadsOverHTTP2 checks that slow clients are cut off as with HTTP/1.1, while other requests of the same
// connection are served.
func TestSlowUploadsOverHTTP2(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, uploadServer(NewUploads(UploadLimits{})), func(t *testing.T, p *pipes) {
		client := http2Client(p)
		defer client.CloseIdleConnections()
		post := func(body io.Reader) (status int, text string, after time.Duration) {
			start := time.Now()
			req, err := http.NewRequest(http.MethodPost, "http://x/", body)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "image/jpeg")
			resp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			data, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(data), time.Since(start)
		}
		var slow sync.WaitGroup
		for name, test := range map[string]struct {
			every  time.Duration
			status int
			after  time.Duration
		}{
			"4 KiB/s":  {time.Second / 4, http.StatusRequestTimeout, 6687 * time.Millisecond},
			"20 KiB/s": {time.Second / 20, http.StatusOK, 5 * time.Second},
			"silent":   {time.Hour, http.StatusRequestTimeout, 5 * time.Second},
		} {
			slow.Go(func() {
				status, text, after := post(&slowBody{100 << 10, 1 << 10, test.every})
				if d := after - test.after; status != test.status || d < -time.Second || d > time.Second {
					t.Errorf("%s: %d %s after %s, want %d after %s", name, status, text, after, test.status, test.after)
				}
			})
		}
		for range 5 {
			if status, text, after := post(bytes.NewReader(make([]byte, 100<<10))); status != http.StatusOK || after > 0 {
				t.Errorf("a good upload: %d %s after %s", status, text, after)
			}
			time.Sleep(time.Second)
		}
		slow.Wait()
		time.Sleep(time.Hour) // the client's body returns
	})
}

// TestSlowReadersOverHTTP2 checks that a response that the client does not take ends, and one that it takes slowly does
// not.
func TestSlowReadersOverHTTP2(t *testing.T) {
	t.Parallel()
	const pieces = 200 // more than a client's window, 4 MiB
	written := make(chan error, 1)
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, pieces*writePiece))
		written <- err
	})}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		written = make(chan error, 1)
		client := http2Client(p)
		defer client.CloseIdleConnections()
		for name, test := range map[string]struct {
			every time.Duration
			whole bool
		}{"slow": {20 * time.Second, true}, "stopped": {time.Hour, false}} {
			start := time.Now()
			resp, err := client.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			var reader sync.WaitGroup
			reader.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(test.every):
					}
					if _, err := io.CopyN(io.Discard, resp.Body, writePiece); err != nil {
						return
					}
				}
			})
			err = <-written
			took := time.Since(start)
			if (err == nil) != test.whole || !test.whole && (took < 30*time.Second || took > time.Minute) {
				t.Errorf("%s: written with %v in %s, want whole %t", name, err, took, test.whole)
			}
			close(stop)
			reader.Wait()
			resp.Body.Close()
		}
	})
}

// TestYieldingOverHTTP2 checks that a connection whose requests only wait makes room for another.
func TestYieldingOverHTTP2(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := &Server{MaxConnections: 8, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/works" {
			<-release
			_, _ = io.WriteString(w, "works")
			return
		}
		ctx, done := Yielding(r.Context())
		defer done()
		<-ctx.Done()
		_, _ = io.WriteString(w, "yielded")
	})}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		release = make(chan struct{})
		get := func(client *http.Client, path string) (body string) {
			resp, err := client.Get("http://x" + path)
			if err != nil {
				return err.Error()
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			return fmt.Sprint(resp.StatusCode, " ", string(text))
		}
		var all sync.WaitGroup
		connect := func(want string, paths ...string) {
			client := http2Client(p)
			var requests sync.WaitGroup
			for _, path := range paths {
				requests.Go(func() {
					if got := get(client, path); got != want {
						t.Errorf("%s of a connection with %v: %s, want %s", path, paths, got, want)
					}
				})
			}
			all.Go(func() { requests.Wait(); client.CloseIdleConnections() })
			synctest.Wait()
			time.Sleep(time.Second)
		}
		connect("200 yielded", "/waits", "/waits", "/waits")
		for range 6 {
			connect("200 works", "/works", "/works")
		}
		connect("200 works", "/works") // the first connection makes room for it
		synctest.Wait()
		close(release)
		all.Wait()
	})
}

// TestPlaceStream checks the number of requests that HTTP/2 connections may have, and who makes room.
func TestPlaceStream(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	s := &connections{limit: 3, times: times{header: 10 * time.Second, idle: 120 * time.Second, write: 30 * time.Second}, open: map[*conn]struct{}{}}
	open := func() *conn {
		c := &conn{open: s}
		if placed, _ := s.place(c, now); !placed {
			t.Fatal("no place for a connection")
		}
		return c
	}
	first, second := open(), open()
	yields := 0
	place := func(c *conn, h activity) *stream {
		st, end := s.placeStream(c, now)
		end()
		if st != nil && h.phase != serving {
			h.since = now
			st.activity = h
		}
		return st
	}
	waits := activity{phase: waiting, yield: func() { yields++ }}
	streams := []*stream{place(first, waits), place(first, waits), place(first, waits), place(second, activity{}), place(second, activity{})}
	for i, st := range streams {
		if st == nil {
			t.Fatalf("request %d is refused", i)
		}
	}
	if s.extra != 3 {
		t.Errorf("%d requests beyond the first, want 3", s.extra)
	}
	if place(second, activity{}) != nil || yields != 3 || !first.leaving {
		t.Errorf("at the limit: %d handlers were told to respond, leaving %t, want the 3 waiting ones", yields, first.leaving)
	}
	if place(first, activity{}) != nil {
		t.Error("a connection that leaves gets another request")
	}
	if place(second, activity{}) != nil || second.leaving {
		t.Error("a connection that works was told to leave")
	}
	for _, st := range streams[:3] {
		s.closeStream(st, false)
	}
	if place(first, activity{}) != nil {
		t.Error("a connection that leaves gets another request")
	}
	if s.extra != 1 || len(first.streams) != 0 {
		t.Errorf("%d requests beyond the first after three ended, want 1", s.extra)
	}
	if place(second, activity{}) == nil {
		t.Error("refused below the limit")
	}
}

// TestUsedOfStreams checks that a connection is as useful as its most useful request.
func TestUsedOfStreams(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	s := &connections{times: times{header: 10 * time.Second, idle: 120 * time.Second, write: 30 * time.Second}}
	yield := func() {}
	long := now.Add(-100 * time.Second)
	works, waits, slow, stuck := activity{phase: serving, since: long}, activity{phase: waiting, since: long, yield: yield},
		activity{phase: uploading, since: long, yield: yield}, activity{phase: writing, since: long}
	for name, test := range map[string]struct {
		streams   []activity
		evictable bool
		yields    int
	}{
		"works":           {[]activity{works}, false, 0},
		"works and waits": {[]activity{works, waits}, false, 0},
		"waits":           {[]activity{waits, waits}, true, 2},
		"slow":            {[]activity{slow, waits}, true, 2},
		"does not read":   {[]activity{stuck, waits}, true, 0},
	} {
		c := &conn{activity: activity{phase: idle, since: now}, streams: map[*stream]struct{}{}}
		for _, h := range test.streams {
			c.streams[&stream{activity: h}] = struct{}{}
		}
		if used := s.used(c, now); (used >= evictableShare) != test.evictable || len(c.yields()) != test.yields {
			t.Errorf("%s: used %.2f, %d yields; want evictable %t, %d", name, used, len(c.yields()), test.evictable, test.yields)
		}
	}
}

// TestSilentClientsMakeRoom fills a server with connections that do not begin the handshake, and checks that another
// client is served.
func TestSilentClientsMakeRoom(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	url := serve(t, &Server{TLS: files, Handler: http.NotFoundHandler(), MaxConnections: 8, HeaderTimeout: 5 * time.Second})
	for range 20 {
		dial(t, strings.TrimPrefix(url, "https://"))
	}
	client := newClient(t, &tls.Config{RootCAs: authority.Pool()}, (*http.Protocols).SetHTTP1)
	start := time.Now()
	for {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Since(start) > 4*time.Second {
			t.Fatalf("a client is not served after %s: %v", time.Since(start), err)
		}
		time.Sleep(50 * time.Millisecond) // after a tenth of the time for headers they have to go
	}
}

// TestSlowReadersOverTLS checks that a client that does not read its response does not hold the handler.
func TestSlowReadersOverTLS(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	written := make(chan error, 1)
	url := serve(t, &Server{TLS: files, WriteTimeout: 200 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 256<<20))
		written <- err
	})})
	for name, protocol := range map[string]func(*http.Protocols, bool){"HTTP/1.1": (*http.Protocols).SetHTTP1, "HTTP/2": (*http.Protocols).SetHTTP2} {
		resp, err := newClient(t, &tls.Config{RootCAs: authority.Pool()}, protocol).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-written:
			if err == nil {
				t.Errorf("%s: 256 MiB were written to a client that does not read", name)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: the handler is held", name)
		}
		resp.Body.Close()
	}
}

// TestShutdownOverTLS stops a server while it responds, and expects the whole response, by each protocol.
func TestShutdownOverTLS(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	for name, protocol := range map[string]func(*http.Protocols, bool){"HTTP/1.1": (*http.Protocols).SetHTTP1, "HTTP/2": (*http.Protocols).SetHTTP2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entered, release := make(chan struct{}), make(chan struct{})
			s := &Server{Addr: "127.0.0.1:0", TLS: files, BeforeShutdown: func() { close(release) },
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					close(entered)
					<-release
					_, _ = io.WriteString(w, strings.Repeat("whole", 100_000))
				})}
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- s.Run(ctx) }()
			go func() { <-entered; cancel() }()
			resp, err := newClient(t, &tls.Config{RootCAs: authority.Pool()}, protocol).Get(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); len(body) != 500_000 || err != nil {
				t.Errorf("%d bytes, %v; want the whole response", len(body), err)
			}
			if err := <-ran; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
}

// TestShutdownDoesNotWaitForClients checks that a server ends after its timeout even if clients neither read nor leave:
// TLS would wait five seconds to say goodbye to each.
func TestShutdownDoesNotWaitForClients(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	s := &Server{Addr: "127.0.0.1:0", TLS: files, ShutdownTimeout: 100 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 256<<20))
	})}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for range 5 {
		resp, err := newClient(t, &tls.Config{RootCAs: authority.Pool()}, (*http.Protocols).SetHTTP1).Get(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	start := time.Now()
	cancel()
	if err := <-ran; err == nil || time.Since(start) > 4*time.Second {
		t.Errorf("Run = %v after %s, want an error after 100 ms", err, time.Since(start))
	}
}

// eof is a connection whose client has ended its sending side and does not read.
type eof struct {
	net.Conn // none of its other methods are called
	wrote    chan string
}

func (eof) Read([]byte) (int, error)         { return 0, io.EOF }
func (e eof) Write(p []byte) (int, error)    { e.wrote <- string(p); return len(p), nil }
func (eof) SetWriteDeadline(time.Time) error { return nil }
func (eof) SetReadDeadline(time.Time) error  { return nil }
func (eof) Close() error                     { return nil }

// TestEndOfDataBeforeTheHandler checks a client whose end of data arrives together with its request: whether it has left
// is decided when the handler has begun.
func TestEndOfDataBeforeTheHandler(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		proto string
		left  bool
	}{"HTTP/1.1": {"HTTP/1.1", false}, "HTTP/1.0": {"HTTP/1.0", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &conn{Conn: eof{wrote: make(chan string, 10)}, open: &connections{open: map[*conn]struct{}{}}}
				c.arrived()
				read := make(chan error, 1)
				go func() { // the background read of net/http
					_, err := c.Read(make([]byte, 1))
					read <- err
				}()
				synctest.Wait()
				select {
				case err := <-read:
					t.Fatalf("the read ends with %v before the handler begins", err)
				default:
				}
				r := &http.Request{Proto: test.proto}
				r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(test.proto)
				c.begin(r)
				time.Sleep(time.Second)
				synctest.Wait()
				select {
				case err := <-read:
					if !test.left || !errors.Is(err, io.EOF) {
						t.Errorf("the client is taken for one that has left: %v", err)
					}
					return
				default:
				}
				if test.left {
					t.Error("the client is not noticed to have left")
				}
				_ = c.Close()
				if err := <-read; err == nil {
					t.Error("the read of a closed connection returns no error")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // a request without a handler, such as OPTIONS *
		c := &conn{Conn: eof{}, open: &connections{open: map[*conn]struct{}{}}}
		c.arrived()
		read := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		_ = c.SetReadDeadline(time.Unix(1, 0)) // net/http ends its background read after the response
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ends with %v, want the deadline", err)
		}
	})
}

// TestStreamsEnd checks that idle HTTP/2 connections make room for new ones.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	s := &Server{MaxConnections: 8, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		for i := range 30 {
			client := http2Client(p)
			defer client.CloseIdleConnections()
			resp, err := client.Get("http://x/")
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			resp.Body.Close()
			time.Sleep(2 * time.Second)
		}
	})
}

// TestClosedConnectionsAreForgotten checks that connections that are closed, by whom and however, hold no place.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	seen := make(chan *connections, 1)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case seen <- connOf(r.Context()).open:
		default:
		}
	})
	secure, plain := serve(t, &Server{Handler: handler, TLS: files}), serve(t, &Server{Handler: handler})
	for name, test := range map[string]struct {
		url      string
		protocol func(*http.Protocols, bool)
	}{
		"HTTP/1.1 over TLS": {secure, (*http.Protocols).SetHTTP1},
		"HTTP/2 over TLS":   {secure, (*http.Protocols).SetHTTP2},
		"HTTP/2":            {"http://" + plain, (*http.Protocols).SetUnencryptedHTTP2},
	} {
		client := newClient(t, &tls.Config{RootCAs: authority.Pool()}, test.protocol)
		resp, err := client.Get(test.url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		open := <-seen
		count := func() int {
			open.mu.Lock()
			defer open.mu.Unlock()
			return len(open.open)
		}
		if n := count(); n != 1 {
			t.Errorf("%s: %d connections are open, want 1", name, n)
		}
		client.CloseIdleConnections()
		for start := time.Now(); count() > 0; time.Sleep(time.Millisecond) {
			if time.Since(start) > 20*time.Second {
				t.Fatalf("%s: a closed connection holds a place", name)
			}
		}
	}
}

// TestGoodbyesTakeNoTime closes connections of clients that do not read: TLS says goodbye before it closes, and would
// wait five seconds for each.
func TestGoodbyesTakeNoTime(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	files := authority.Between(t, time.Unix(0, 0), time.Now().Add(time.Hour)) // the virtual clock starts in 2000
	files.CA = ""
	certs := tlsfiles.New(files, nil)
	for name, end := range map[string]func(*conn){"close": func(c *conn) { _ = c.Close() }, "abort": (*conn).abort} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if err := certs.Load(); err != nil {
					t.Fatal(err)
				}
				l := newListener(nil, &connections{open: map[*conn]struct{}{}}, certs.Server(), nil)
				ours, theirs := net.Pipe()
				c := l.newConn(theirs)
				client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true})
				shook := make(chan error, 1)
				go func() { shook <- client.HandshakeContext(t.Context()) }()
				if err := errors.Join(c.Conn.(*tls.Conn).HandshakeContext(t.Context()), <-shook); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				end(c)
				if d := time.Since(start); d > 10*time.Millisecond {
					t.Errorf("it takes %s", d)
				}
				_ = ours.Close()
			})
		})
	}
}

// TestShutdownCancelsHandshakes checks that a server does not wait for clients that have not begun theirs.
func TestShutdownCancelsHandshakes(t *testing.T) {
	t.Parallel()
	files, _ := certificate(t)
	s := &Server{Addr: "127.0.0.1:0", TLS: files, Handler: http.NotFoundHandler(), HeaderTimeout: time.Minute}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	address := strings.TrimPrefix(s.URL(), "https://")
	dial(t, address)
	c := dial(t, address)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if status, _, err := readAnswer(c); status != http.StatusBadRequest { // the first one has been accepted too
		t.Errorf("answer %d %v", status, err)
	}
	start := time.Now()
	cancel()
	if err := <-ran; err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("Run = %v after %s, want nil at once", err, time.Since(start))
	}
}

// held is a connection whose first write, the start of the handshake or of a request, waits until it is let go.
type held struct {
	net.Conn
	let <-chan struct{}
}

func (h held) Write(b []byte) (int, error) {
	<-h.let
	return h.Conn.Write(b)
}

// TestServerAnswersWhatArrives stops a server to which a client has connected and has sent nothing yet, and expects that its request
// is answered although the server listens no more.
func TestServerAnswersWhatArrives(t *testing.T) {
	t.Parallel()
	files, authority := certificate(t)
	for name, files := range map[string]tlsfiles.Files{"HTTP": {}, "HTTPS": files} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Server{Addr: "127.0.0.1:0", TLS: files, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "whole")
			})}
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ran := make(chan error, 1)
			go func() { ran <- s.Run(ctx) }()
			let := make(chan struct{})
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				return held{conn, let}, err
			}}
			defer transport.CloseIdleConnections()
			answered := make(chan error, 1)
			go func() {
				resp, err := (&http.Client{Transport: transport}).Post(s.URL(), "image/jpeg", strings.NewReader("picture"))
				if err == nil {
					defer resp.Body.Close()
					var body []byte
					if body, err = io.ReadAll(resp.Body); err == nil && string(body) != "whole" {
						err = fmt.Errorf("response %q", body)
					}
				}
				answered <- err
			}()
			for s.Connections() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
			for _, address, _ := strings.Cut(s.URL(), "://"); ; {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					break // it listens no more
				}
				conn.Close()
			}
			close(let)
			if err := <-answered; err != nil {
				t.Errorf("the request failed: %v", err)
			}
			if err := <-ran; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
}
