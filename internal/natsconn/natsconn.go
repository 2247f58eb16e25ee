// Package natsconn gives the queue and the store their NATS connection: to a server started in this process,
// with its files in a folder and no port open, or to a cluster somewhere else. The code behind it is the
// same in both cases.
package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says where NATS is. The zero value starts a server in this process on a temporary folder.
type Config struct {
	// URL is one or more nats:// or tls:// URLs, separated by commas. Empty starts a server in this process.
	URL string
	// Creds is a file of user credentials as nsc writes them.
	Creds string
	// CAFile, CertFile and KeyFile are PEM files: who to trust, and who to be.
	CAFile, CertFile, KeyFile string
	// DataDir is where a server in this process keeps its files; two processes cannot share it. Empty means
	// a temporary folder, removed by Close.
	DataDir string
	// SyncAlways has a server in this process flush every message to disk before it acknowledges it. It
	// flushes once a second otherwise: then what was acknowledged survives the death of every process, but
	// the last second may be lost when the machine loses power.
	SyncAlways bool
	// MaxPayload is the largest message in bytes. Zero means 11 MiB. An outside server that allows less is
	// an error of Open.
	MaxPayload int
	// Name is what the server calls this connection in its monitoring.
	Name string
	// Log receives what the connection and a server in this process complain about. Nil discards it.
	Log *slog.Logger
}

// defaultMaxPayload has room for the largest image, 10 MiB, and its headers.
const defaultMaxPayload = 11 << 20

// Conn is a connection to JetStream, and perhaps the server it leads to. Safe for concurrent use.
type Conn struct {
	conn    *nats.Conn
	js      jetstream.JetStream
	server  *server.Server // nil when it runs elsewhere
	release func()         // gives the data folder free
}

// Open starts the server if there is to be one, connects, and returns when JetStream answers. An outside
// server must be reachable now; when it goes away later the connection is made again for ever.
func Open(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = defaultMaxPayload
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{release: func() {}}
	url, options := cfg.URL, cfg.options()
	if url == "" {
		if err := c.startServer(cfg); err != nil {
			return nil, err
		}
		options = append(options, nats.InProcessServer(c.server))
	}
	if err := c.connect(ctx, url, options, cfg); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (cfg Config) options() []nats.Option {
	options := []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		// While the server is away a request fails at once instead of waiting in a buffer: a client is
		// then told so, and nothing is published twice.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				cfg.Log.Warn("NATS connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { cfg.Log.Info("NATS connection is back", "server", c.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { cfg.Log.Warn("NATS", "error", err) }),
	}
	if cfg.Creds != "" {
		options = append(options, nats.UserCredentials(cfg.Creds))
	}
	if cfg.CAFile != "" {
		options = append(options, nats.RootCAs(cfg.CAFile))
	}
	if cfg.CertFile != "" {
		options = append(options, nats.ClientCert(cfg.CertFile, cfg.KeyFile))
	}
	return options
}

func (c *Conn) startServer(cfg Config) error {
	dir, release, err := dataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	c.release = release
	s, err := server.NewServer(&server.Options{
		ServerName: "resnet18cloud", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: dir, DisableJetStreamBanner: true,
		MaxPayload: int32(cfg.MaxPayload), SyncAlways: cfg.SyncAlways, SyncInterval: time.Second,
	})
	if err != nil {
		release()
		return fmt.Errorf("start NATS server: %w", err)
	}
	s.SetLoggerV2(logger{cfg.Log}, false, false, false)
	c.server = s
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return errors.Join(errors.New("start NATS server: not ready within 30 s"), c.Close())
	}
	return nil
}

// dataDir makes and locks the folder.
func dataDir(dir string) (_ string, release func(), err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "resnet18cloud-"); err != nil {
			return "", nil, fmt.Errorf("make data folder: %w", err)
		}
		return dir, func() { _ = os.RemoveAll(dir) }, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("make data folder: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, fmt.Errorf("data folder %s is used by another process, give this one a folder of its own: %w", dir, err)
	}
	return dir, unlock, nil
}

func (c *Conn) connect(ctx context.Context, url string, options []nats.Option, cfg Config) error {
	var err error
	if c.conn, err = nats.Connect(url, options...); err != nil {
		return fmt.Errorf("connect to NATS at %s: %w", url, err)
	}
	if got := c.conn.MaxPayload(); got < int64(cfg.MaxPayload) {
		return fmt.Errorf("NATS at %s takes messages of %d bytes, images need %d: set max_payload there, or lower the limit on images",
			url, got, cfg.MaxPayload)
	}
	if c.js, err = jetstream.New(c.conn); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	if _, err := c.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("ask NATS at %s for JetStream: %w", url, err)
	}
	return nil
}

// JetStream is the way to streams and buckets.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Exclusive reports whether the server is this process's own, so that nobody else uses its streams.
func (c *Conn) Exclusive() bool { return c.server != nil }

// Connected reports whether there is a connection now.
func (c *Conn) Connected() bool { return c.conn.IsConnected() }

// Close flushes what was sent, disconnects, and stops a server in this process.
func (c *Conn) Close() error {
	var err error
	if c.conn != nil {
		if c.conn.IsConnected() {
			err = c.conn.FlushTimeout(5 * time.Second)
		}
		c.conn.Close()
	}
	if c.server != nil {
		c.server.Shutdown()
		c.server.WaitForShutdown()
	}
	c.release()
	return err
}

// logger writes a NATS server's log to slog. What it calls notices is for people who run NATS.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug("NATS: " + fmt.Sprintf(format, v...)) }

func (l logger) Warnf(format string, v ...any) {
	// Every start warns of payloads above 8 MB. An image is one message by intent: one write, one read.
	if !strings.HasPrefix(format, "Maximum payloads over") {
		l.log.Warn("NATS: " + fmt.Sprintf(format, v...))
	}
}

func (l logger) Fatalf(format string, v ...any) { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any) { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Debugf(string, ...any)          {}
func (l logger) Tracef(string, ...any)          {}
