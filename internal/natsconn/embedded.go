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
	release func()         // guarded by mu: gives the data folder up
	locked  os.FileInfo    // guarded by mu: the file that is locked; nil for a temporary folder
	server  *server.Server // guarded by mu: nil while it does not run
}

// maxStoreBytes sets no bound on the server as a whole: its streams have theirs. By default it would be three
// quarters of the free disk, and a server does not open streams whose bounds add up to more.
const maxStoreBytes = 1 << 50

// startEmbedded takes the data folder and starts a server on it.
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

// takeDir makes and locks the folder.
func (e *embedded) takeDir() error {
	if e.cfg.DataDir == "" {
		dir, err := os.MkdirTemp("", "resnet18cloud-")
		if err != nil {
			return fmt.Errorf("make data folder: %w", err)
		}
		e.dir, e.release = dir, func() { _ = os.RemoveAll(dir) }
		return nil
	}
	e.dir = e.cfg.DataDir
	return e.lockDir()
}

// TempDir is where a server without a data folder has its temporary one.
func TempDir() string { return os.TempDir() }

// lockName is the file in the data folder that keeps other processes out.
const lockName = "lock"

// lockDir makes the folder if it is missing, and keeps other processes from using it.
func (e *embedded) lockDir() error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	path := filepath.Join(e.dir, lockName)
	unlock, err := lock(path)
	if err != nil {
		return fmt.Errorf("data folder %s is used by another process, give this one a folder of its own: %w", e.dir, err)
	}
	if e.locked, err = os.Stat(path); err != nil {
		unlock()
		return fmt.Errorf("lock data folder %s: %w", e.dir, err)
	}
	e.release = unlock
	return nil
}

// start starts a server on the folder and returns when it takes connections. The caller holds mu or is
// alone.
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

// forgetConsumers removes the state of consumers before the server reads it. It says which messages were in
// the hands of a process that is gone, so it is of no use; and a server refuses to make a consumer whose
// state is damaged.
func (e *embedded) forgetConsumers() error {
	dirs, err := filepath.Glob(filepath.Join(e.dir, "jetstream", "*", "streams", "*", "obs"))
	if err != nil {
		return fmt.Errorf("find the state of consumers in %s: %w", e.dir, err)
	}
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the state of consumers: %w", err)
		}
	}
	return nil
}

// restart stops the server if it runs, and starts it again; the folder is made again if it has gone.
func (e *embedded) restart(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop()
	if e.removed() != nil {
		// The lock that we hold is on a file that nobody else can find any more.
		e.release()
		e.release, e.locked = func() {}, nil
		if err := e.lockDir(); err != nil {
			return err
		}
	}
	return e.start(ctx)
}

// stop ends the server. The caller holds mu.
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

// stopped says why the server takes nothing more.
func (e *embedded) stopped() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.server == nil:
		return errNotRunning
	case !e.server.JetStreamEnabled():
		return errors.New("NATS server in this process has turned JetStream off after a write error")
	}
	return e.removed()
}

// removed says that the data folder is not the one that the server writes to any more: its files have no names
// then, and end with the process.
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

var errNotRunning = errors.New("NATS server in this process does not run")

// InProcessConn connects to the server of now. Connections ask for it each time they are made again.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil, errNotRunning
	}
	return e.server.InProcessConn()
}

// serverLog writes a NATS server's log to slog. What the server calls notices is for people who run NATS.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex
	cause error // guarded by mu: the first fatal error
}

// fatal is the error that keeps the server from running, nil if there is none.
func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("NATS: " + fmt.Sprintf(format, v...))
}

func (l *serverLog) Warnf(format string, v ...any) {
	// Every start warns of payloads above 8 MB. An image is one message by intent: one write, one read.
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
