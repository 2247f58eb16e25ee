// Package webhook sends the outcomes of requests to addresses that clients named. It decides where a server may send
// ([Allow]), sends and signs ([Sender]), and decides when to try again ([Next]). Package dispatch keeps what is to be sent, in
// the records of requests.
package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Allow says where webhooks may go. The zero value allows nothing.
type Allow struct {
	hosts []host
	nets  []netip.Prefix
}

// host is an allowed name or address in URLs.
type host struct {
	name  string       // in lower case; "*.example.com" means every name below example.com; empty for addresses
	net   netip.Prefix // if it is an address or a network
	port  string       // empty means the scheme's
	plain bool         // also without TLS
}

// ParseAllow reads a list of "HOST", "HOST:PORT", "*.DOMAIN", addresses, and networks in CIDR notation, each with "http://"
// before it if plain HTTP is allowed too. A name leads only to public addresses, unless the list has its address or
// network too.
func ParseAllow(list []string) (Allow, error) {
	var a Allow
	for _, entry := range list {
		h, err := parseHost(strings.TrimSpace(entry))
		if err != nil {
			return Allow{}, fmt.Errorf("allowed webhook host %q: %w", entry, err)
		}
		a.hosts = append(a.hosts, h)
		if h.name == "" {
			a.nets = append(a.nets, h.net)
		}
	}
	return a, nil
}

func parseHost(entry string) (h host, err error) {
	entry, h.plain = strings.CutPrefix(entry, "http://")
	entry = strings.TrimPrefix(entry, "https://")
	if h.net, err = netip.ParsePrefix(entry); err == nil {
		h.net = h.net.Masked()
		return h, nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
		h.net = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return h, nil
	}
	if at, err := netip.ParseAddrPort(entry); err == nil {
		h.net, h.port = netip.PrefixFrom(at.Addr().Unmap(), at.Addr().Unmap().BitLen()), fmt.Sprint(at.Port())
		return h, nil
	}
	name, port, hasPort := strings.Cut(strings.ToLower(entry), ":")
	u, err := url.Parse("https://" + strings.Replace(name, "*.", "wildcard.", 1) + ":" + port)
	switch {
	case err != nil || hasPort && port == "" || u.Hostname() == "" || u.Path != "" || u.User != nil || u.RawQuery != "":
		return host{}, errors.New("use a host name such as hooks.example.com, *.example.com or hooks.example.com:8443, an address, or a network such as 10.0.0.0/24")
	case strings.Contains(strings.TrimPrefix(name, "*."), "*") || !strings.Contains(strings.TrimPrefix(name, "*."), ".") && strings.HasPrefix(name, "*"):
		return host{}, errors.New("a star stands for names below a domain, as in *.example.com")
	}
	h.name, h.port = name, port
	return h, nil
}

// Any reports whether anything is allowed.
func (a Allow) Any() bool { return len(a.hosts) > 0 }

// maxURL is the length of a URL that is stored with a request.
const maxURL = 2048

// Errors of Check.
var (
	// ErrURL means that a text is not a URL for webhooks.
	ErrURL = errors.New("not a URL for webhooks")
	// ErrHost means that webhooks may not go there.
	ErrHost = errors.New("not an allowed host")
)

// Check returns nil if a webhook may go to a URL, as far as its text says; addresses are checked when a connection is made.
// The error is [ErrURL] or [ErrHost].
func (a Allow) Check(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" ||
		strings.ContainsFunc(text, notPrintable) {
		return ErrURL
	}
	name := nameOf(u)
	if name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "..") || strings.ContainsFunc(name, notPrintable) {
		return ErrURL // net/http would map what is not ASCII, percent-encoded in the text, to another name
	}
	addr, err := netip.ParseAddr(name)
	isAddr := err == nil
	if !slices.ContainsFunc(a.hosts, func(h host) bool {
		switch {
		case u.Scheme == "http" && !h.plain, u.Port() != h.port && (h.port != "" || u.Port() != defaultPort(u.Scheme)):
			return false
		case isAddr:
			return h.name == "" && h.net.Contains(addr.Unmap())
		case strings.HasPrefix(h.name, "*."):
			return strings.HasSuffix(name, h.name[1:])
		}
		return h.name != "" && name == h.name
	}) {
		return ErrHost
	}
	return nil
}

// notPrintable reports whether a character is none of ASCII's, or a space or control character.
func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

// HostOf returns the host and port of a URL that [Allow.Check] has accepted, the same for all ways to write them.
func HostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	name := nameOf(u)
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.Unmap().String()
	}
	return net.JoinHostPort(name, cmp.Or(u.Port(), defaultPort(u.Scheme)))
}

// nameOf returns the host of a URL, in lower case and without the dot of the root.
func nameOf(u *url.URL) string { return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") }

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// permits reports whether a connection may be made to an address: it is public, or the list names it.
func (a Allow) permits(addr netip.Addr) bool {
	addr = addr.Unmap()
	return public(addr) || slices.ContainsFunc(a.nets, func(n netip.Prefix) bool { return n.Contains(addr.WithZone("")) })
}

// special are the networks that are not public and that package netip does not know (IANA's registries of special-purpose
// addresses, RFC 6890), among them those that lead to IPv4 addresses.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by customers of a provider
	netip.MustParsePrefix("192.0.0.0/24"),    // protocols
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),       // protocols, among them Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// unicast is where all public addresses of IPv6 are (IANA's registry of its address space). Outside are those that contain
// addresses of IPv4 for translators, which a network may use whatever its own are, and all that may be assigned one day.
var unicast = netip.MustParsePrefix("2000::/3")

// public reports whether an address is one of the Internet.
func public(addr netip.Addr) bool {
	return addr.IsValid() && (addr.Is4() || unicast.Contains(addr)) && addr.Zone() == "" && addr.IsGlobalUnicast() && !addr.IsPrivate() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(special, func(n netip.Prefix) bool { return n.Contains(addr) })
}
