package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

var _ nats.InProcessConnProvider = (*embedded)(nil)

// embedded is a NATS server in this process. It opens no port.
type embedded struct {
	cfg Config
	dir string

	mu      sync.Mutex
	release func()         // guarded by mu: releases the data folder
	locked  os.FileInfo    // guarded by mu: the locked file; nil for a temporary folder
	server  *server.Server // guarded by mu: nil if it is not running
}

// maxStoreBytes disables the server's total limit, because the streams have their own. The default would be three
// quarters of the free disk space, and a server does not open streams whose limits exceed the total.
const maxStoreBytes = 1 << 50

// startEmbedded locks the data folder and starts a server in it.
func startEmbedded(ctx context.Context, cfg Config) (*embedded, error) {
	e := &embedded{cfg: cfg}
	if err := e.takeDir(); err != nil {
		return nil, err
	}
	if err := e.start(ctx); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// takeDir creates and locks the folder.
func (e *embedded) takeDir() error {
	if e.cfg.DataDir == "" {
		dir, err := os.MkdirTemp("", "resnet18cloud-")
		if err != nil {
			return fmt.Errorf("create data folder: %w", err)
		}
		e.dir, e.release = dir, func() { _ = os.RemoveAll(dir) }
		return nil
	}
	e.dir = e.cfg.DataDir
	return e.lockDir()
}

// lockName is the lock file in the data folder.
const lockName = "lock"

// lockDir creates the folder if necessary, and locks it against other processes.
func (e *embedded) lockDir() error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	path := filepath.Join(e.dir, lockName)
	unlock, err := lock(path)
	if err != nil {
		return fmt.Errorf("data folder %s is used by another process; use a different folder (--data-dir): %w", e.dir, err)
	}
	if e.locked, err = os.Stat(path); err != nil {
		unlock()
		return fmt.Errorf("lock data folder %s: %w", e.dir, err)
	}
	e.release = unlock
	return nil
}

// start starts a server and returns when it accepts connections. The caller holds mu or has exclusive access.
func (e *embedded) start(ctx context.Context) error {
	if err := e.forgetConsumers(); err != nil {
		return err
	}
	log := &serverLog{log: e.cfg.Log}
	s, err := server.NewServer(&server.Options{
		ServerName: "resnet18cloud", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: e.dir, DisableJetStreamBanner: true,
		JetStreamMaxStore: maxStoreBytes,
		MaxPayload:        int32(e.cfg.MaxPayload), SyncAlways: e.cfg.SyncAlways, SyncInterval: time.Second,
	})
	if err != nil {
		return fmt.Errorf("start NATS server in %s: %w", e.dir, err)
	}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	for deadline := time.Now().Add(30 * time.Second); !s.ReadyForConnections(100 * time.Millisecond); {
		if log.fatal() != nil || ctx.Err() != nil || time.Now().After(deadline) {
			break
		}
	}
	if err = log.fatal(); err == nil && !s.JetStreamEnabled() {
		err = errors.Join(errors.New("not ready within 30 s"), ctx.Err())
	}
	if err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return fmt.Errorf("start NATS server in %s: %w", e.dir, err)
	}
	e.server = s
	return nil
}

// forgetConsumers removes the state of consumers before the server reads it. It only records which messages a
// previous process had taken, so it is no longer needed; and a server does not create a consumer whose state is
// damaged.
func (e *embedded) forgetConsumers() error {
	dirs, err := filepath.Glob(filepath.Join(e.dir, "jetstream", "*", "streams", "*", "obs"))
	if err != nil {
		return fmt.Errorf("find consumer state in %s: %w", e.dir, err)
	}
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove consumer state: %w", err)
		}
	}
	return nil
}

// restart stops the server if it is running, and starts it again. It recreates a missing folder.
func (e *embedded) restart(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop()
	if e.removed() != nil {
		// The file that we have locked has been deleted.
		e.release()
		e.release, e.locked = func() {}, nil
		if err := e.lockDir(); err != nil {
			return err
		}
	}
	return e.start(ctx)
}

// stop stops the server. The caller holds mu.
func (e *embedded) stop() {
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
		e.server = nil
	}
}

func (e *embedded) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop()
	e.release()
}

// stopped returns why the server accepts no writes.
func (e *embedded) stopped() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.server == nil:
		return errNotRunning
	case !e.server.JetStreamEnabled():
		return errors.New("the embedded NATS server has disabled JetStream after a write error")
	}
	return e.removed()
}

// removed returns an error if the data folder is not the one that the server uses any more: its files are unlinked
// then, and disappear with the process.
func (e *embedded) removed() error {
	if e.cfg.DataDir == "" {
		return nil
	}
	now, err := os.Stat(filepath.Join(e.dir, lockName))
	if err != nil || e.locked == nil || !os.SameFile(now, e.locked) {
		return fmt.Errorf("data folder %s was removed or replaced", e.dir)
	}
	return nil
}

var errNotRunning = errors.New("the embedded NATS server is not running")

// InProcessConn connects to the current server. Connections call it on each reconnect.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil, errNotRunning
	}
	return e.server.InProcessConn()
}

// serverLog writes a NATS server's log to slog. The server's notices are logged at debug level.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex
	cause error // guarded by mu: the first fatal error
}

// fatal returns the error that prevents the server from running, or nil.
func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("NATS: " + fmt.Sprintf(format, v...))
}

func (l *serverLog) Warnf(format string, v ...any) {
	// Every start warns about payloads above 8 MB. Images are sent as single messages on purpose: one write, one
	// read.
	if !strings.HasPrefix(format, "Maximum payloads over") {
		l.log.Warn("NATS: " + fmt.Sprintf(format, v...))
	}
}

func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = err
	}
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error("NATS: " + fmt.Sprintf(format, v...))
}
func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}
