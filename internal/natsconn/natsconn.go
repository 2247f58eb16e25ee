// Package natsconn connects the queue and the store to NATS: to a server started in this process, with its
// files in a folder and no open port, or to servers elsewhere. The code that uses the connection is the same
// in both cases. The one thing to know: a [Conn] heals. It reconnects for as long as it is open, replaces a
// connection that was closed for good, and can restart the server in this process; so callers ask it for
// [Conn.JetStream] each time they need it.
package natsconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says where NATS is. The zero value starts a server in this process on a temporary folder.
type Config struct {
	// URL is one or more nats:// or tls:// URLs, separated by commas. Empty starts a server in this process.
	URL string
	// Creds is a file of user credentials as nsc writes them.
	Creds string
	// CAFile, CertFile and KeyFile are PEM files: the authority to trust, and our own certificate with its key.
	CAFile, CertFile, KeyFile string
	// DataDir is where a server in this process keeps its files; two processes cannot share it. Empty means
	// a temporary folder, removed by Close.
	DataDir string
	// SyncAlways has a server in this process flush every message to disk before it acknowledges it. It
	// flushes once a second otherwise: then what was acknowledged survives the death of every process, but
	// the last second may be lost when the machine loses power.
	SyncAlways bool
	// MaxPayload is the largest message in bytes. Zero means 11 MiB. An outside server that allows less is
	// an error of Await.
	MaxPayload int
	// Name is what the server calls this connection in its monitoring.
	Name string
	// Log receives errors and state changes of the connection and of a server in this process. Nil discards them.
	Log *slog.Logger
}

// defaultMaxPayload has room for the largest image, 10 MiB, and its headers.
const defaultMaxPayload = 11 << 20

// ErrPermanent marks errors that time does not mend: a wrong setting, here or at the server.
var ErrPermanent = errors.New("wrong setting")

// Conn is a connection to JetStream, and the server it leads to if that runs in this process. Safe for
// concurrent use.
type Conn struct {
	cfg      Config
	options  []nats.Option
	embedded *embedded // nil when the server runs elsewhere

	mu      sync.Mutex
	conn    *nats.Conn          // guarded by mu
	js      jetstream.JetStream // guarded by mu: on conn
	problem error               // guarded by mu: why there is no connection; nil while there is one
	closing bool                // guarded by mu
	redials sync.WaitGroup      // goroutines of redial
}

// Open starts the server if there is to be one, and connects. An outside server may be away: Open then
// returns without an error, and the connection is made when the server comes. Settings that no server
// could make right, such as an unreadable credentials file or a refused password, are errors. See Await.
func Open(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = defaultMaxPayload
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkURLs(cfg.URL); err != nil {
		return nil, err
	}
	c := &Conn{cfg: cfg}
	c.options = c.connectionOptions()
	if cfg.URL == "" {
		e, err := startEmbedded(ctx, cfg)
		if err != nil {
			return nil, err
		}
		c.embedded = e
		c.options = append(c.options, nats.InProcessServer(e), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	}
	if err := c.dial(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if c.embedded != nil {
		if err := c.Await(ctx, nil); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// dial makes the first connection, or arranges for it to be made when a server is there.
func (c *Conn) dial() error {
	conn, err := nats.Connect(c.cfg.URL, c.options...)
	if err != nil {
		if !isAbsence(err) {
			return fmt.Errorf("connect to NATS at %s: %w", c.where(), err)
		}
		c.setProblem(err)
		if conn, err = nats.Connect(c.cfg.URL, append(c.options[:len(c.options):len(c.options)], nats.RetryOnFailedConnect(true))...); err != nil {
			return fmt.Errorf("connect to NATS at %s: %w", c.where(), err)
		}
	}
	return c.use(conn)
}

// use makes conn the connection of now.
func (c *Conn) use(conn *nats.Conn) error {
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return fmt.Errorf("use JetStream: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.js = conn, js
	if conn.IsConnected() {
		c.problem = nil
	}
	return nil
}

// redial replaces a connection that nats.go has given up. It does so after errors of the protocol, which
// one message that the server dislikes can cause.
func (c *Conn) redial(closed *nats.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || closed != c.conn {
		return
	}
	c.cfg.Log.Warn("NATS connection closed; making a new one", "error", closed.LastError())
	c.redials.Go(func() {
		conn, err := nats.Connect(c.cfg.URL, append(c.options[:len(c.options):len(c.options)], nats.RetryOnFailedConnect(true))...)
		if err == nil {
			err = c.use(conn)
		}
		if err != nil { // a file of certificates or credentials has gone bad
			c.cfg.Log.Error("NATS connection not made", "error", err)
			c.setProblem(err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closing {
			conn.Close()
		}
	})
}

// isAbsence reports whether a failed connection only means that no server is there now.
func isAbsence(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "remote error" // with which a server refuses a certificate
	}
	_, isDNS := errors.AsType[*net.DNSError](err)
	return isDNS || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.Is(err, nats.ErrStaleConnection) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded)
}

// Await returns when JetStream answers on the connection. While it waits it tells waiting, if that is not
// nil, what for, each time it has tried. It returns ctx's error when that ends first, and an error marked
// with [ErrPermanent] when waiting is useless.
func (c *Conn) Await(ctx context.Context, waiting func(error)) error {
	return Retry(ctx, waiting, c.tryJetStream)
}

// tryJetStream asks once whether JetStream answers and takes what we send.
func (c *Conn) tryJetStream(ctx context.Context) error {
	conn, js := c.current()
	if !conn.IsConnected() {
		return fmt.Errorf("connect to NATS at %s: %w", c.where(), c.Problem())
	}
	if got := conn.MaxPayload(); got < int64(c.cfg.MaxPayload) {
		return fmt.Errorf("%w: NATS at %s takes messages of %d bytes, images need %d: set max_payload there, or lower the limit on images",
			ErrPermanent, c.where(), got, c.cfg.MaxPayload)
	}
	_, err := js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		err = fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	if err != nil {
		return fmt.Errorf("ask NATS at %s for JetStream: %w", c.where(), err)
	}
	return nil
}

func (c *Conn) current() (*nats.Conn, jetstream.JetStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn, c.js
}

// JetStream is the way to streams and buckets. It changes when a connection was closed for good and
// another was made, so callers do not keep it.
func (c *Conn) JetStream() jetstream.JetStream {
	_, js := c.current()
	return js
}

// Exclusive reports whether the server is this process's own, so that nobody else uses its streams.
func (c *Conn) Exclusive() bool { return c.embedded != nil }

// Connected reports whether there is a connection now.
func (c *Conn) Connected() bool {
	conn, _ := c.current()
	return conn.IsConnected()
}

// Problem says why there is no connection; nil while there is one.
func (c *Conn) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.conn.IsConnected() {
		return nil
	}
	if c.problem == nil {
		return errors.New("no connection")
	}
	return c.problem
}

func (c *Conn) setProblem(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = err
}

// Restart stops the server in this process, and starts it on the files that are there: after a write error
// a server takes nothing more until then. Messages in flight fail; the connection is made again by itself.
// When the server cannot start, Restart may be called again. With an outside server it is an error.
func (c *Conn) Restart(ctx context.Context) error {
	if c.embedded == nil {
		return errors.New("restart NATS: the server is not this process's own")
	}
	if err := c.embedded.restart(ctx); err != nil {
		return err
	}
	return c.Await(ctx, nil)
}

// Stopped says why the server in this process takes nothing more until Restart; nil while it works, and for
// an outside server.
func (c *Conn) Stopped() error {
	if c.embedded == nil {
		return nil
	}
	return c.embedded.stopped()
}

// Dir is where a server in this process keeps its files; empty for an outside server.
func (c *Conn) Dir() string {
	if c.embedded == nil {
		return ""
	}
	return c.embedded.dir
}

// where names the servers without users and passwords.
func (c *Conn) where() string { return Redact(c.cfg.URL) }

// Close flushes what was sent, disconnects, and stops a server in this process.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closing = true
	conn := c.conn
	c.mu.Unlock()
	c.redials.Wait()
	var err error
	if conn != nil {
		if conn.IsConnected() {
			err = conn.FlushTimeout(5 * time.Second)
		}
		conn.Close()
	}
	if c.embedded != nil {
		c.embedded.close()
	}
	return err
}

// Redact replaces users, passwords and tokens in a list of URLs.
func Redact(urls string) string {
	if urls == "" {
		return "this process"
	}
	list := strings.Split(urls, ",")
	for i, text := range list {
		scheme, rest, found := strings.Cut(text, "://")
		if !found {
			scheme, rest = "nats", text
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			rest = "xxxxx" + rest[at:]
		}
		list[i] = strings.TrimSpace(scheme) + "://" + rest
	}
	return strings.Join(list, ",")
}

// checkURLs explains what is wrong with a list of URLs. Errors of package url would repeat passwords.
func checkURLs(urls string) error {
	if urls == "" {
		return nil
	}
	for text := range strings.SplitSeq(urls, ",") {
		text = strings.TrimSpace(text)
		if !strings.Contains(text, "://") {
			text = "nats://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return fmt.Errorf("NATS URL %s is malformed: want nats://host:4222, with special characters of passwords escaped", Redact(text))
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("NATS URL %s: want nats:// or tls://", Redact(text))
		}
	}
	return nil
}
