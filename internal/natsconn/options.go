package natsconn

import (
	"time"

	"github.com/nats-io/nats.go"
)

// connectionOptions returns the options of a connection: it reconnects forever, and requests fail immediately while
// it is down.
func (c *Conn) connectionOptions() []nats.Option {
	cfg := c.cfg
	options := []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a password that is being changed becomes valid again
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.Timeout(2 * time.Second),
		// A server that stopped responding is abandoned after two to three seconds.
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		// While the server is down a request fails immediately instead of waiting in a buffer: the client gets an
		// error, and nothing is published twice.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.disconnects.Add(1)
				c.setProblem(err)
				cfg.Log.Warn("NATS connection lost", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.setProblem(err) }),
		nats.ReconnectHandler(func(conn *nats.Conn) {
			cfg.Log.Info("NATS connection restored", "server", Redact(conn.ConnectedUrl()))
		}),
		nats.ConnectHandler(func(conn *nats.Conn) {
			cfg.Log.Debug("connected to NATS", "server", Redact(conn.ConnectedUrl()))
		}),
		nats.ClosedHandler(c.redial),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { cfg.Log.Warn("NATS error", "error", err) }),
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
