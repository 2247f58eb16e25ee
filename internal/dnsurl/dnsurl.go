// Package dnsurl expands URLs such as dns+http://name:5000 into one URL for each address of the host, and leaves
// other URLs unchanged. The dispatcher finds replicas this way, and the autoscaler finds dispatchers. Callers resolve
// periodically; on an error they keep the known addresses, because a DNS failure says nothing about the hosts.
package dnsurl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Prefix marks a URL whose host name stands for all of its addresses.
const Prefix = "dns+"

// Timeout limits one lookup.
const Timeout = 5 * time.Second

// MaxAddresses limits the number of addresses of a name.
const MaxAddresses = 1000

// Lookup returns the addresses of a host, as [net.Resolver.LookupHost] does.
type Lookup func(ctx context.Context, host string) ([]string, error)

// IsName reports whether the URL has [Prefix] and must be resolved.
func IsName(rawURL string) bool { return strings.HasPrefix(rawURL, Prefix) }

// Check returns an error unless the URL is http or https, with or without [Prefix], and has a host.
func Check(rawURL string) error {
	u, err := url.Parse(strings.TrimPrefix(rawURL, Prefix))
	if err != nil {
		return err
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return fmt.Errorf("%q is not a URL such as http://10.0.0.7:5000 or dns+http://name:5000", rawURL)
	}
	return nil
}

// Resolve returns one URL for each address of the host, sorted and without duplicates, or the URL itself if it does
// not have [Prefix]. It keeps port, path and query. A nil lookup uses [net.DefaultResolver].
func Resolve(ctx context.Context, lookup Lookup, rawURL string) ([]string, error) {
	plain, isName := strings.CutPrefix(rawURL, Prefix)
	if !isName {
		return []string{rawURL}, nil
	}
	u, err := url.Parse(plain)
	if err != nil {
		return nil, err
	}
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	addrs, err := lookup(ctx, u.Hostname())
	switch {
	case err != nil:
		return nil, err
	case len(addrs) == 0:
		return nil, errors.New("lookup " + u.Hostname() + ": no address")
	case len(addrs) > MaxAddresses:
		return nil, fmt.Errorf("lookup %s: %d addresses, at most %d are allowed", u.Hostname(), len(addrs), MaxAddresses)
	}
	urls := make([]string, len(addrs))
	for i, addr := range addrs {
		at := *u
		at.Host = hostPort(addr, u.Port())
		urls[i] = at.String()
	}
	slices.Sort(urls)
	return slices.Compact(urls), nil
}

// hostPort joins an address and a port, which may be empty.
func hostPort(addr, port string) string {
	switch {
	case port != "":
		return net.JoinHostPort(addr, port)
	case strings.Contains(addr, ":"):
		return "[" + addr + "]"
	}
	return addr
}
