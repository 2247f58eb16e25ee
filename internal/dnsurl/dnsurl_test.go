package dnsurl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func answers(addrs ...string) Lookup {
	return func(context.Context, string) ([]string, error) { return addrs, nil }
}

func TestResolve(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url string
		addrs     []string
		want      []string
	}{
		{"a URL without the prefix is not looked up", "http://name:8080", nil, []string{"http://name:8080"}},
		{"each address is a URL with the port", "dns+http://name:8080", []string{"10.0.0.2", "10.0.0.1"}, []string{"http://10.0.0.1:8080", "http://10.0.0.2:8080"}},
		{"an address that comes twice is one URL", "dns+http://name:8080", []string{"10.0.0.1", "10.0.0.1"}, []string{"http://10.0.0.1:8080"}},
		{"no port stays no port", "dns+https://name", []string{"10.0.0.1"}, []string{"https://10.0.0.1"}},
		{"the path and query stay", "dns+http://name:80/a?b=c", []string{"10.0.0.1"}, []string{"http://10.0.0.1:80/a?b=c"}},
		{"IPv6 with a port", "dns+http://name:80", []string{"fd00::1"}, []string{"http://[fd00::1]:80"}},
		{"IPv6 without a port", "dns+http://name", []string{"fd00::1"}, []string{"http://[fd00::1]"}},
	}
	for _, test := range tests {
		asked := ""
		lookup := func(_ context.Context, host string) ([]string, error) {
			asked = host
			return test.addrs, nil
		}
		got, err := Resolve(t.Context(), lookup, test.url)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: Resolve(%q) = %q, %v, want %q", test.name, test.url, got, err, test.want)
		}
		if wantAsked := test.addrs != nil; (asked == "name") != wantAsked {
			t.Errorf("%s: looked up %q", test.name, asked)
		}
	}
}

func TestResolveFails(t *testing.T) {
	t.Parallel()
	away := errors.New("name server away")
	many := make([]string, MaxAddresses+1)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.%d.%d", i/256, i%256)
	}
	if got, err := Resolve(t.Context(), answers(many[:MaxAddresses]...), "dns+http://name:1"); err != nil || len(got) != MaxAddresses {
		t.Errorf("Resolve of as many addresses as allowed = %d, %v", len(got), err)
	}
	for want, lookup := range map[string]Lookup{
		away.Error():   func(context.Context, string) ([]string, error) { return nil, away },
		"no address":   answers(),
		"at most 1000": answers(many...),
	} {
		if got, err := Resolve(t.Context(), lookup, "dns+http://name:1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve = %q, %v, want an error with %q", got, err, want)
		}
	}
	if _, err := Resolve(t.Context(), answers("10.0.0.1"), "dns+http://[::1"); err == nil {
		t.Error("Resolve of a broken URL: no error")
	}
}

// TestLookupTimeout checks that a lookup ends after five seconds if the name server does not respond.
func TestLookupTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Resolve(t.Context(), func(ctx context.Context, _ string) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "dns+http://name:1")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("Resolve = %v after %s, want the deadline after 5 s", err, time.Since(start))
		}
	})
}

// TestDefaultResolver resolves an IP address, which needs no name server.
func TestDefaultResolver(t *testing.T) {
	t.Parallel()
	if got, err := Resolve(t.Context(), nil, "dns+http://127.0.0.1:80"); err != nil || !slices.Equal(got, []string{"http://127.0.0.1:80"}) {
		t.Errorf("Resolve = %q, %v", got, err)
	}
}

// TestNames checks that an address is verified by the name that it was resolved from last.
func TestNames(t *testing.T) {
	t.Parallel()
	var n Names
	resolve := func(url string, addrs ...string) {
		t.Helper()
		if _, err := n.Resolve(t.Context(), answers(addrs...), url); err != nil {
			t.Fatal(err)
		}
	}
	resolve("dns+https://replicas:5000", "10.0.0.1", "fd00::1")
	resolve("dns+https://others", "10.0.0.3")
	resolve("dns+http://plain:80", "10.0.0.4")
	for address, want := range map[string]string{
		"10.0.0.1:5000": "replicas", "[fd00::1]:5000": "replicas", "10.0.0.3:443": "others", "10.0.0.1:443": "10.0.0.1",
		"10.0.0.2:5000": "10.0.0.2", "10.0.0.4:80": "10.0.0.4", "host": "host", "host:1": "host",
	} {
		if got := n.Name(address); got != want {
			t.Errorf("Name(%q) = %q, want %q", address, got, want)
		}
	}
	resolve("dns+https://replicas:5000", "10.0.0.2")
	if now, before := n.Name("10.0.0.2:5000"), n.Name("10.0.0.1:5000"); now != "replicas" || before != "10.0.0.1" {
		t.Errorf("after another lookup: %q, %q", now, before)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"http://a", "https://a:1/b", "dns+http://a:1", "dns+https://a", "http://[::1]:80"} {
		if err := Check(good); err != nil {
			t.Errorf("Check(%q) = %v", good, err)
		}
		if got, want := IsName(good), strings.HasPrefix(good, "dns+"); got != want {
			t.Errorf("IsName(%q) = %v, want %v", good, got, want)
		}
	}
	for _, bad := range []string{"", "a:80", "a", "ftp://a", "dns+a:80", "http://", "http://:80", "dns+dns+http://a", "http://a b", "http+dns://a"} {
		if err := Check(bad); err == nil {
			t.Errorf("Check(%q): no error", bad)
		}
	}
}
