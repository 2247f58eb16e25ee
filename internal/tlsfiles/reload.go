package tlsfiles

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/reread"
)

// Reloader has the newest valid content of files. Create it with [New], call Load, and Run to follow changes. Server,
// Client and Load are safe for concurrent use with Run.
type Reloader struct {
	files   Files
	log     *slog.Logger
	current atomic.Pointer[loaded]

	// Used by Run.
	problem string // why the files could not be used at the last look; empty if they could
	looks   int    // number of consecutive looks with this problem
	expired bool   // the log says that the certificate in use has expired
}

// loaded is content with its meaning.
type loaded struct {
	content content
	*material
	server *tls.Config
}

// New returns a reloader of the files. It reads nothing yet. A nil log discards messages.
func New(files Files, log *slog.Logger) *Reloader {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Reloader{files: files, log: log}
}

// Load reads the files. It returns an error that names the file if one is missing, broken, expired, or does not belong
// to the other.
func (r *Reloader) Load() error {
	c, err := r.files.read()
	if err != nil {
		return err
	}
	return r.use(c, time.Now())
}

// use makes the content the current one if it is valid.
func (r *Reloader) use(c content, now time.Time) error {
	m, err := r.files.parse(c, now)
	if err != nil {
		return err
	}
	r.current.Store(&loaded{c, m, m.serverConfig()})
	return nil
}

// Run looks at the files every two seconds until ctx ends. New content that is broken is not used and logged. Call
// Load first.
func (r *Reloader) Run(ctx context.Context) {
	if r.files == (Files{}) {
		<-ctx.Done()
		return
	}
	reread.Every(ctx, r.look)
}

// look reads the files and uses them if they have changed.
func (r *Reloader) look(now time.Time) {
	var c content
	err := reread.Check(r.files.Cert, r.files.Key, r.files.CA)
	if err == nil {
		c, err = r.files.read()
	}
	current := r.current.Load()
	switch {
	case err == nil && c == current.content:
		r.problem, r.looks = "", 0
	case err == nil:
		if err = r.use(c, now); err == nil {
			r.problem, r.looks, r.expired = "", 0, false
			r.log.Info("TLS files reloaded", "cert", r.files.Cert, "ca", r.files.CA)
		}
	}
	if err != nil {
		r.report(err)
	}
	if cert := r.current.Load().cert; cert != nil && now.After(cert.Leaf.NotAfter) && !r.expired {
		r.expired = true
		r.log.Error("the TLS certificate in use has expired: clients refuse it", "cert", r.files.Cert, "not_after", cert.Leaf.NotAfter)
	}
}

// report logs a problem once, at its second look: certificate and key are two files, and whoever renews them writes
// one after the other.
func (r *Reloader) report(err error) {
	if text := err.Error(); text != r.problem {
		r.problem, r.looks = text, 0
	}
	if r.looks++; r.looks == 2 {
		r.log.Error("changed TLS files cannot be used; the old certificate stays in use", "error", err)
	}
}

// serverConfig returns the configuration of a server, or nil without a certificate.
func (m *material) serverConfig() *tls.Config {
	if m.cert == nil {
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{*m.cert}}
	if m.ca != nil {
		c.ClientCAs, c.ClientAuth = m.ca, tls.RequireAndVerifyClientCert
		// A resumed session would not be checked against authorities that have changed since.
		c.SessionTicketsDisabled = true
	}
	return c
}

// Server returns a configuration for servers of HTTP/1.1 and HTTP/2. Each handshake uses the newest files. Call Load
// first.
func (r *Reloader) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: r.files.CA != "",
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current.Load().server, nil },
	}
}

// Client returns a configuration for one connection of HTTP/1.1 to the server of that name, with the newest files. Call
// Load first.
func (r *Reloader) Client(serverName string) *tls.Config {
	m := r.current.Load()
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName, RootCAs: m.ca, NextProtos: []string{"http/1.1"}}
	if m.cert != nil {
		c.Certificates = []tls.Certificate{*m.cert}
	}
	return c
}
