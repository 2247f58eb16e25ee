package tlsfiles

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// handshakeTimeout limits a client's handshake; http.Transport does not limit those of a DialTLSContext.
const handshakeTimeout = 5 * time.Second

// Dial connects to a server, as [net.Dialer.DialContext] does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a function for http.Transport.DialTLSContext: it connects with dial, and verifies the server against the
// newest files. name returns the name that the certificate of an address must have; nil means its host.
func (r *Reloader) Dial(dial Dial, name func(address string) string) Dial {
	if name == nil {
		name = host
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		c := newBurst(raw, r.Client(name(address)))
		if err := c.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS with %s: %w", address, err)
		}
		return c, nil
	}
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// HTTPClient returns a client that reads the files once, for commands that end soon. Without files it is one with the
// defaults of net/http. It opens a connection for each request if keepAlive is false.
func HTTPClient(files Files, keepAlive bool) (*http.Client, error) {
	if err := files.Validate(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = !keepAlive
	if files != (Files{}) {
		r := New(files, nil)
		if err := r.Load(); err != nil {
			return nil, err
		}
		dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second} // as http.DefaultTransport
		transport.ForceAttemptHTTP2 = false
		transport.DialTLSContext = r.Dial(dialer.DialContext, nil)
		transport.TLSClientConfig = r.Client("") // through a proxy
	}
	return &http.Client{Transport: transport}, nil
}
