package harness

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy forwards TCP connections, and can disturb them: Hold holds every byte back, like a network that loses all
// packets; Cut closes connections; Slow delays data.
type Proxy struct {
	listener net.Listener
	target   string
	cut      atomic.Int32 // how many of a thousand pieces close their connection
	slow     atomic.Int32 // milliseconds per piece
	gate     gate
	serving  sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{} // guarded by mu
	closed bool                  // guarded by mu
}

// NewProxy starts a proxy to the target, until the end of the test. The seed determines which connections Cut closes.
func NewProxy(t testing.TB, target string, seed uint64) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, open: map[net.Conn]struct{}{}}
	p.serving.Go(func() {
		for n := uint64(0); ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.serving.Go(func() { p.serve(conn, rand.New(rand.NewPCG(seed, n))) })
		}
	})
	t.Cleanup(p.close)
	return p
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.gate.release()
	p.slow.Store(0)
	p.serving.Wait()
}

// keep makes close close the connection too. The returned function closes it now.
func (p *Proxy) keep(conn net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
	}
	p.open[conn] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, conn)
		_ = conn.Close()
	}
}

// Addr returns the proxy's address.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL returns Addr as a base URL.
func (p *Proxy) URL() string { return "http://" + p.Addr() }

// Hold holds all bytes back, in both directions, until Release. Connections stay open, and new ones get no data.
func (p *Proxy) Hold() { p.gate.hold() }

// Release forwards what was held.
func (p *Proxy) Release() { p.gate.release() }

// Cut closes a connection at each piece with a probability of perMille in a thousand; 0 stops that.
func (p *Proxy) Cut(perMille int) { p.cut.Store(int32(perMille)) }

// Slow delays each piece of 16 KiB by d; 0 stops that.
func (p *Proxy) Slow(d time.Duration) { p.slow.Store(int32(d.Milliseconds())) }

func (p *Proxy) serve(client net.Conn, rng *rand.Rand) {
	defer p.keep(client)()
	p.gate.wait()
	server, err := (&net.Dialer{Timeout: 10 * time.Second}).Dial("tcp", p.target) //nolint:noctx // bounded by its time
	if err != nil {
		return
	}
	defer p.keep(server)()
	back := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
	var copying sync.WaitGroup
	copying.Go(func() { p.copy(client, server, back) })
	p.copy(server, client, rng)
	copying.Wait()
}

// copy forwards pieces until one side closes, and then closes both.
func (p *Proxy) copy(to, from net.Conn, rng *rand.Rand) {
	defer to.Close()
	defer from.Close()
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		p.gate.wait()
		if n > 0 {
			time.Sleep(time.Duration(p.slow.Load()) * time.Millisecond) // the injected fault
			if rng.Int32N(1000) < p.cut.Load() {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// gate is open, or blocks its callers.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // guarded by mu; nil while the gate is open
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

func (g *gate) wait() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		<-opened
	}
}
