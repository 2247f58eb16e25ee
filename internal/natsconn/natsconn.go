// Package natsconn connects queue and store to NATS: either to an embedded server in this process, with its files in
// a folder and no open port, or to external servers. The code that uses the connection is the same in both cases. A
// [Conn] recovers from failures: it reconnects for as long as it is open, replaces a connection that was closed
// permanently, and can restart the embedded server. Therefore callers call [Conn.JetStream] each time they need it.
package natsconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config configures a connection. The zero value starts an embedded server in a temporary folder.
type Config struct {
	// URL is a comma-separated list of nats:// or tls:// URLs. Empty starts an embedded server.
	URL string
	// Creds is a user credentials file, as written by nsc.
	Creds string
	// CAFile, CertFile and KeyFile are PEM files: the trusted authority, and the client certificate with its key.
	CAFile, CertFile, KeyFile string
	// DataDir is the folder of an embedded server; two processes cannot share it. Empty means a temporary folder,
	// which Close removes.
	DataDir string
	// SyncAlways makes an embedded server flush every message to disk before acknowledging it. Otherwise it flushes
	// once a second: acknowledged messages survive the death of every process, but the last second may be lost in a
	// power failure.
	SyncAlways bool
	// MaxPayload is the maximum message size in bytes. Zero means 11 MiB. Await returns an error if an external
	// server allows less.
	MaxPayload int
	// Name is the name of the connection in the server's monitoring.
	Name string
	// Log receives errors and state changes of the connection and of an embedded server. Nil discards them.
	Log *slog.Logger
}

// defaultMaxPayload fits the largest image, 10 MiB, and its headers.
const defaultMaxPayload = 11 << 20

// ErrPermanent marks errors that do not go away with time: an invalid setting, here or on the server.
var ErrPermanent = errors.New("invalid setting")

// Conn is a connection to JetStream, with the server if it is embedded. It is safe for concurrent use.
type Conn struct {
	cfg      Config
	options  []nats.Option
	embedded *embedded // nil for external servers

	disconnects atomic.Int64

	mu      sync.Mutex
	conn    *nats.Conn          // guarded by mu
	js      jetstream.JetStream // guarded by mu: on conn
	problem error               // guarded by mu: why there is no connection; nil if there is one
	closing bool                // guarded by mu
	redials sync.WaitGroup      // goroutines of redial
}

// Open starts an embedded server if configured, and connects. An external server may be unavailable: Open then
// returns without an error, and connects when the server becomes available. Settings that are invalid for any server,
// such as an unreadable credentials file or a rejected password, are errors. See Await.
func Open(ctx context.Context, cfg Config) (*Conn, error) {
	cfg.MaxPayload = cmp.Or(cfg.MaxPayload, defaultMaxPayload)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
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

// dial establishes the first connection, or schedules it for when a server becomes available.
func (c *Conn) dial() error {
	conn, err := nats.Connect(c.cfg.URL, c.options...)
	if err != nil {
		if !isUnreachable(err) {
			return fmt.Errorf("connect to NATS at %s: %w", c.where(), err)
		}
		c.setProblem(err)
		if conn, err = nats.Connect(c.cfg.URL, append(c.options[:len(c.options):len(c.options)], nats.RetryOnFailedConnect(true))...); err != nil {
			return fmt.Errorf("connect to NATS at %s: %w", c.where(), err)
		}
	}
	return c.use(conn)
}

// use makes conn the current connection.
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

// redial replaces a connection that nats.go has closed permanently. It does so after protocol errors, which a single
// message rejected by the server can cause.
func (c *Conn) redial(closed *nats.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || closed != c.conn {
		return
	}
	c.cfg.Log.Warn("NATS connection closed; reconnecting", "error", closed.LastError())
	c.redials.Go(func() {
		conn, err := nats.Connect(c.cfg.URL, append(c.options[:len(c.options):len(c.options)], nats.RetryOnFailedConnect(true))...)
		if err == nil {
			err = c.use(conn)
		}
		if err != nil { // a certificate or credentials file has become invalid
			c.cfg.Log.Error("connecting to NATS failed", "error", err)
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

// isUnreachable reports whether connecting failed only because no server is available.
func isUnreachable(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "remote error" // a rejected certificate
	}
	_, isDNS := errors.AsType[*net.DNSError](err)
	return isDNS || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.Is(err, nats.ErrStaleConnection) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded)
}

// Await waits until JetStream responds on the connection. It calls onRetry, if not nil, with the reason after each
// failed attempt. It returns ctx's error if ctx ends first, and an error marked with [ErrPermanent] if waiting is
// useless.
func (c *Conn) Await(ctx context.Context, onRetry func(error)) error {
	return Retry(ctx, onRetry, c.tryJetStream)
}

// tryJetStream checks once whether JetStream responds and accepts messages of the required size.
func (c *Conn) tryJetStream(ctx context.Context) error {
	conn, js := c.current()
	if !conn.IsConnected() {
		return fmt.Errorf("connect to NATS at %s: %w", c.where(), c.Problem())
	}
	if got := conn.MaxPayload(); got < int64(c.cfg.MaxPayload) {
		return fmt.Errorf("%w: NATS at %s accepts messages of %d bytes, images need %d: raise max_payload on the server, or lower the image size limit",
			ErrPermanent, c.where(), got, c.cfg.MaxPayload)
	}
	_, err := js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		err = fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	if err != nil {
		return fmt.Errorf("check JetStream of NATS at %s: %w", c.where(), err)
	}
	return nil
}

func (c *Conn) current() (*nats.Conn, jetstream.JetStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn, c.js
}

// JetStream returns the current JetStream context. It changes when a connection was closed permanently and replaced,
// so callers must not store it.
func (c *Conn) JetStream() jetstream.JetStream {
	_, js := c.current()
	return js
}

// Exclusive reports whether the server is embedded, so that no other process uses its streams.
func (c *Conn) Exclusive() bool { return c.embedded != nil }

// Connected reports whether there is a connection.
func (c *Conn) Connected() bool {
	conn, _ := c.current()
	return conn.IsConnected()
}

// Disconnects returns how often a connection was lost.
func (c *Conn) Disconnects() int64 { return c.disconnects.Load() }

// Problem returns why there is no connection, or nil if there is one.
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

// Restart restarts an embedded server with its existing files: after a write error a server accepts no more writes
// until then. Messages in flight fail; the connection is re-established automatically. If the server does not start,
// Restart may be called again. It returns an error for external servers.
func (c *Conn) Restart(ctx context.Context) error {
	if c.embedded == nil {
		return errors.New("restart NATS: the server is not embedded")
	}
	if err := c.embedded.restart(ctx); err != nil {
		return err
	}
	return c.Await(ctx, nil)
}

// Stopped returns why an embedded server accepts no writes until Restart, or nil if it does. It returns nil for
// external servers.
func (c *Conn) Stopped() error {
	if c.embedded == nil {
		return nil
	}
	return c.embedded.stopped()
}

// Dir returns the folder of an embedded server; empty for external servers.
func (c *Conn) Dir() string {
	if c.embedded == nil {
		return ""
	}
	return c.embedded.dir
}

// where returns the server URLs without users and passwords.
func (c *Conn) where() string { return Redact(c.cfg.URL) }

// Close flushes, disconnects, and stops an embedded server.
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

// checkURLs validates a list of URLs. Errors of package url would include passwords.
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
