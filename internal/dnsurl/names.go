package dnsurl

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Names remembers which name an address was resolved from, so that TLS verifies the name and not the address. The zero
// value is ready. It is safe for concurrent use.
type Names struct {
	mu sync.Mutex
	of map[string][]string // guarded by mu: resolved URLs by the URL with [Prefix]
}

// Resolve is [Resolve], and remembers the result.
func (n *Names) Resolve(ctx context.Context, lookup Lookup, rawURL string) ([]string, error) {
	urls, err := Resolve(ctx, lookup, rawURL)
	if err == nil && strings.HasPrefix(rawURL, Prefix+"https:") {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.of == nil {
			n.of = map[string][]string{}
		}
		n.of[rawURL] = urls
	}
	return urls, err
}

// Name returns the name that an address, host:port, was resolved from, or the host itself.
func (n *Names) Name(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for from, urls := range n.of {
		if slices.ContainsFunc(urls, func(u string) bool { return addressOf(u) == net.JoinHostPort(host, port) }) {
			return hostOf(strings.TrimPrefix(from, Prefix))
		}
	}
	return host
}

// addressOf returns the address that a client of an https URL connects to.
func addressOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
