// Package clientaddr finds out which client sent an HTTP request: the address that connected, or, behind proxies that
// are trusted, the address that they report in Forwarded (RFC 7239) or X-Forwarded-For. Clients are kept apart by it,
// so what a client writes into these headers itself must not matter.
package clientaddr

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of trusted proxies. The zero value trusts none.
type Proxies struct{ networks []netip.Prefix }

// ParseProxies parses addresses and networks in CIDR notation, such as "10.0.0.0/8", "192.0.2.1" and "fd00::/8".
func ParseProxies(list []string) (Proxies, error) {
	var p Proxies
	for _, text := range list {
		network, err := parseNetwork(strings.TrimSpace(text))
		if err != nil {
			return Proxies{}, fmt.Errorf("trusted proxy %q: want an address or a network, such as 192.0.2.1 or 10.0.0.0/8", text)
		}
		p.networks = append(p.networks, network)
	}
	return p, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return network, err
		}
		return network.Masked(), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Unmap().WithZone("").Prefix(addr.Unmap().BitLen())
}

// Trusts reports whether addr is a trusted proxy.
func (p Proxies) Trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Client returns the address of the client that sent a request, given the address that connected and the request's
// headers. Each proxy appends the address from which it got the request, so the list is read from its end: the first
// address that is not a trusted proxy is the client's. What stands to the left of it was written by the client.
//
//	remote 10.0.0.1, trusted 10.0.0.0/8, X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.2    the client is 192.0.2.7
//
// If an entry is not an address, the client is the proxy that wrote it. If both headers are present and disagree, one
// of them was written by the client; then it is the proxy that connected. The result has no zone, and IPv4 addresses
// have their IPv4 form.
func (p Proxies) Client(remote netip.Addr, h http.Header) netip.Addr {
	remote = plain(remote)
	if !p.Trusts(remote) {
		return remote
	}
	forwarded, for1 := h["Forwarded"]
	xff, for2 := h["X-Forwarded-For"]
	switch {
	case for1 && for2:
		a, b := p.walk(remote, parseForwarded(forwarded)), p.walk(remote, parseXFF(xff))
		if a != b {
			return remote
		}
		return a
	case for1:
		return p.walk(remote, parseForwarded(forwarded))
	case for2:
		return p.walk(remote, parseXFF(xff))
	}
	return remote
}

// walk returns the last address in hops that is not a trusted proxy. An invalid address stands for an entry that is
// not an address.
func (p Proxies) walk(remote netip.Addr, hops []netip.Addr) netip.Addr {
	client := remote
	for _, hop := range slices.Backward(hops) {
		if !hop.IsValid() {
			return client
		}
		client = hop
		if !p.Trusts(hop) {
			return client
		}
	}
	return client
}

// Group returns the name by which clients are kept apart: an IPv4 address, or the /64 network of an IPv6 address, which
// is the smallest that one client gets. It is "unknown" for an invalid address.
func Group(addr netip.Addr) string {
	addr = plain(addr)
	switch {
	case !addr.IsValid():
		return "unknown"
	case addr.Is4():
		return addr.String()
	}
	network, err := addr.Prefix(64)
	if err != nil { // an IPv6 address has at least 64 bits
		return "unknown"
	}
	return network.String()
}

// Remote parses the RemoteAddr of a request. The result is invalid if that is not an IP address with a port.
func Remote(text string) netip.Addr {
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.Addr{}
	}
	return plain(addr.Addr())
}

func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
