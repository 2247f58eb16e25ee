package natsconn

import (
	"time"

	"github.com/nats-io/nats.go"
)

// connectionOptions are how a connection behaves: it reconnects for ever, and fails requests at once while
// it is away.
func (c *Conn) connectionOptions() []nats.Option {
	cfg := c.cfg
	options := []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a password that is being changed comes right again
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.Timeout(2 * time.Second),
		// A server that stopped answering is left after two to three seconds.
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		// While the server is away a request fails at once instead of waiting in a buffer: a client is
		// then told so, and nothing is published twice.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.setProblem(err)
				cfg.Log.Warn("NATS connection lost", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.setProblem(err) }),
		nats.ReconnectHandler(func(conn *nats.Conn) {
			cfg.Log.Info("NATS connection is back", "server", Redact(conn.ConnectedUrl()))
		}),
		nats.ConnectHandler(func(conn *nats.Conn) {
			cfg.Log.Debug("connected to NATS", "server", Redact(conn.ConnectedUrl()))
		}),
		nats.ClosedHandler(c.redial),
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
