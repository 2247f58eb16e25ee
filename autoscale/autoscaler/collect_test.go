package autoscaler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers questions for A records with addresses that the test sets.
type nameServer struct {
	conn net.PacketConn
	mu   sync.Mutex
	// addrs are guarded by mu; if there are none, the server answers with a failure.
	addrs []string
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve()
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return n
}

func (n *nameServer) set(addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs = addrs
}

func (n *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := n.answer(buf[:size]); err == nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

func (n *nameServer) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, errors.New("not a question")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	q := m.Questions[0]
	m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	switch {
	case len(n.addrs) == 0:
		m.RCode = dnsmessage.RCodeServerFailure
	case q.Name.String() != "dispatchers.test.":
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		for _, addr := range n.addrs {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(addr).To4())},
			})
		}
	}
	return m.Pack()
}

// lookup asks this server instead of the system's.
func (n *nameServer) lookup(ctx context.Context, host string) ([]string, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	}}
	return r.LookupHost(ctx, host)
}

// listenOn listens on loopback addresses at the same port.
func listenOn(t *testing.T, addrs ...string) ([]net.Listener, string) {
	t.Helper()
	var err error
	for range 20 { // the first address has the choice, the port may be taken at others
		var listeners []net.Listener
		port := "0"
		for _, addr := range addrs {
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(addr, port)); err != nil {
				break
			}
			listeners = append(listeners, l)
			port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		}
		if err == nil {
			return listeners, port
		}
		for _, l := range listeners {
			l.Close()
		}
	}
	t.Skipf("needs several loopback addresses, as Linux has: %v", err)
	return nil, ""
}

// TestFindsDispatchersByName runs an autoscaler that is given a name, with a real name server and real connections:
// dispatchers leave and join, and the name server is down for a while.
func TestFindsDispatchersByName(t *testing.T) {
	t.Parallel()
	listeners, port := listenOn(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	servers := make([]*http.Server, len(listeners))
	for i, l := range listeners {
		servers[i] = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"instance":"run-%d","processing":%d,"scaling":{}}`, i, 1<<i)
		})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = servers[i].Serve(l)
		}()
		t.Cleanup(func() { servers[i].Close(); <-done })
	}
	names, s := newNameServer(t), newScaler(3)
	names.set("127.0.0.2", "127.0.0.3")
	a := newAutoscaler(t, Config{Dispatchers: []string{"dns+http://dispatchers.test:" + port}, Scaler: s, NewPolicy: wants(3),
		Interval: 20 * time.Millisecond, Lookup: names.lookup, LookupInterval: 20 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()

	var missed time.Duration // how long ago a dispatcher was missing
	until := func(what string, holds func(inFlight int, problem string) bool) {
		t.Helper()
		var inFlight int
		var problem string
		for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
			a.mu.Lock()
			inFlight, problem, missed = a.latest.InFlight, a.problem, time.Since(a.latest.Missed)
			a.mu.Unlock()
			if holds(inFlight, problem) {
				return
			}
		}
		t.Fatalf("%s: after 30 s images in flight at dispatchers %b, problem %q", what, inFlight, problem)
	}
	until("two addresses", func(inFlight int, problem string) bool { return inFlight == 0b011 && problem == "" })
	names.set()
	until("no name server: the addresses stay", func(inFlight int, problem string) bool {
		return inFlight == 0b011 && strings.Contains(problem, "look up dns+http://dispatchers.test") &&
			missed < time.Minute // as there may be others
	})
	names.set("127.0.0.3", "127.0.0.4")
	servers[0].Close()
	until("one has left, one has come", func(inFlight int, problem string) bool { return inFlight == 0b110 && problem == "" })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if got, want := a.collect.ledger.urls(), []string{"http://127.0.0.3:" + port, "http://127.0.0.4:" + port}; !slices.Equal(got, want) {
		t.Errorf("asks %q in the end, want %q", got, want)
	}
}

// TestTheFirstDecisionHasAllAddresses checks that a name is looked up before the first decision, and repeatedly afterwards.
func TestTheFirstDecisionHasAllAddresses(t *testing.T) {
	t.Parallel()
	d := newDispatcher(t)
	d.sayCounts(10, 100, 100, 7)
	_, port, err := net.SplitHostPort(d.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	lookups := make(chan string, 100)
	a := newAutoscaler(t, Config{Dispatchers: []string{"dns+http://name:" + port + "/"}, Scaler: newScaler(3), NewPolicy: wants(3), LookupInterval: 10 * time.Millisecond,
		Lookup: func(_ context.Context, host string) ([]string, error) {
			lookups <- host
			return []string{"127.0.0.1", "127.0.0.1"}, nil
		}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	for range 3 {
		if host := <-lookups; host != "name" {
			t.Errorf("looked up %q", host)
		}
	}
	for len(a.Decisions(1, false)) == 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	first := a.Decisions(1000, false)
	if r := first[len(first)-1]; r.Age < 0 || r.InFlight != 3 {
		t.Errorf("first decision %+v; want the figures of the dispatcher, though its name has the address twice", r)
	}
}

// TestLastingTroubleReadsTheSame checks that errors that differ only in port numbers count as the same problem.
func TestLastingTroubleReadsTheSame(t *testing.T) {
	t.Parallel()
	from := func(port int) *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
	for what, make := range map[string]func(port int) error{
		"connection": func(port int) error {
			return &net.OpError{Op: "read", Net: "tcp", Source: from(port), Addr: from(80), Err: errors.New("connection reset by peer")}
		},
		"lookup": func(port int) error {
			return &net.DNSError{Err: (&net.OpError{Op: "read", Net: "udp", Source: from(port), Err: errors.New("i/o timeout")}).Error(), Name: "name", IsTimeout: true}
		},
	} {
		one, other := lasting(fmt.Errorf("ask: %w", make(1))), lasting(fmt.Errorf("ask: %w", make(2)))
		if one.Error() != other.Error() {
			t.Errorf("%s: %q and %q", what, one, other)
		}
	}
	plain := errors.New("something else")
	if got := lasting(plain); !errors.Is(got, plain) {
		t.Errorf("lasting(%v) = %v", plain, got)
	}
}

// TestManyDispatchersAreAskedInTurn checks that at most a hundred are asked at the same time.
func TestManyDispatchersAreAskedInTurn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most, full := 0, 0, make(chan struct{})
	release := sync.OnceFunc(func() { close(full) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now++
		if most = max(most, now); now == 100 && most == 100 {
			time.AfterFunc(100*time.Millisecond, release) // time for more to come
		}
		mu.Unlock()
		<-full
		mu.Lock()
		now--
		mu.Unlock()
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(server.Close)
	var urls []string
	for i := range 150 {
		urls = append(urls, fmt.Sprintf("%s/%d", server.URL, i))
	}
	a := newAutoscaler(t, Config{Dispatchers: urls, Scaler: newScaler(1), NewPolicy: wants(1)})
	if err := a.collect.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if most != 100 || len(a.collect.view()) != 150 {
		t.Errorf("%d were asked at the same time, %d have answered; want 100 and 150", most, len(a.collect.view()))
	}
}

// TestAnAnswerWithoutEnd checks that an endless response is cut off at 16 MiB.
func TestAnAnswerWithoutEnd(t *testing.T) {
	t.Parallel()
	padding := bytes.Repeat([]byte(" "), 16<<20)
	for _, size := range []int{len(padding) - 2, len(padding) - 1} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "{%s}", padding[:size])
		}))
		a := newAutoscaler(t, Config{Dispatchers: []string{server.URL}, Scaler: newScaler(1), NewPolicy: wants(1)})
		if err := a.collect.poll(t.Context()); (err == nil) != (size+2 <= 16<<20) {
			t.Errorf("an answer of %d bytes: %v", size+2, err)
		}
		server.Close()
	}
}

// TestDispatchersAreNotBelieved checks that only configured addresses are asked, and that an endless response ends.
func TestDispatchersAreNotBelieved(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(other.Close)
	for name, test := range map[string]struct {
		serve   http.HandlerFunc
		problem string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/status", http.StatusTemporaryRedirect)
		}, "/status responded 307"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"instance":"`))
			for piece := bytes.Repeat([]byte("x"), 1<<20); r.Context().Err() == nil; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}, "invalid /status: unexpected EOF"},
	} {
		s := httptest.NewServer(test.serve)
		t.Cleanup(s.Close)
		c := newCollector(Config{Dispatchers: []string{s.URL}}.withDefaults())
		if _, err := c.ask(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.problem)
		}
	}
}
