package clientaddr_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/clientaddr"
)

func proxies(t testing.TB, list ...string) clientaddr.Proxies {
	t.Helper()
	p, err := clientaddr.ParseProxies(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestClient checks whom a request is attributed to. The trusted proxies are 10.0.0.0/8 and fd00::/8.
func TestClient(t *testing.T) {
	t.Parallel()
	const forwarded, xff = "Forwarded", "X-Forwarded-For"
	tests := map[string]struct {
		remote  string
		headers []string // names and values
		want    string
	}{
		"no proxy":                     {"192.0.2.7", nil, "192.0.2.7"},
		"no proxy, forged":             {"192.0.2.7", []string{xff, "6.6.6.6", forwarded, "for=6.6.6.6"}, "192.0.2.7"},
		"proxy without a header":       {"10.0.0.1", nil, "10.0.0.1"},
		"one proxy":                    {"10.0.0.1", []string{xff, "192.0.2.7"}, "192.0.2.7"},
		"one proxy, forged":            {"10.0.0.1", []string{xff, "6.6.6.6, 192.0.2.7"}, "192.0.2.7"},
		"forged as a proxy":            {"10.0.0.1", []string{xff, "10.0.0.9, 192.0.2.7"}, "192.0.2.7"},
		"two proxies":                  {"10.0.0.1", []string{xff, "6.6.6.6,192.0.2.7 ,\t10.0.0.2"}, "192.0.2.7"},
		"two proxies, two lines":       {"10.0.0.1", []string{xff, "6.6.6.6, 192.0.2.7", xff, "10.0.0.2"}, "192.0.2.7"},
		"only proxies":                 {"10.0.0.1", []string{xff, "10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"with a port":                  {"10.0.0.1", []string{xff, "192.0.2.7:4711"}, "192.0.2.7"},
		"no address":                   {"10.0.0.1", []string{xff, "192.0.2.7, unknown"}, "10.0.0.1"},
		"no address behind a proxy":    {"10.0.0.1", []string{xff, "192.0.2.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		"empty entry":                  {"10.0.0.1", []string{xff, "192.0.2.7,"}, "10.0.0.1"},
		"empty header":                 {"10.0.0.1", []string{xff, ""}, "10.0.0.1"},
		"IPv6":                         {"fd00::1", []string{xff, "2001:db8::17"}, "2001:db8::17"},
		"IPv6, port":                   {"fd00::1", []string{xff, "[2001:db8::17]:80"}, "2001:db8::17"},
		"IPv4 in IPv6":                 {"::ffff:10.0.0.1", []string{xff, "::ffff:192.0.2.7"}, "192.0.2.7"},
		"zone":                         {"fd00::1%eth0", []string{xff, "fe80::2%eth0"}, "fe80::2"},
		"Forwarded":                    {"10.0.0.1", []string{forwarded, "for=6.6.6.6, for=192.0.2.7;proto=https;by=10.0.0.1"}, "192.0.2.7"},
		"Forwarded, any case":          {"10.0.0.1", []string{forwarded, "Proto=http; FOR=192.0.2.7"}, "192.0.2.7"},
		"Forwarded, quoted":            {"10.0.0.1", []string{forwarded, `for="[2001:db8::17]:4711"`}, "2001:db8::17"},
		"Forwarded, escaped":           {"10.0.0.1", []string{forwarded, `for="192.0.2\.7"`}, "192.0.2.7"},
		"Forwarded, comma in quotes":   {"10.0.0.1", []string{forwarded, `host="a,for=6.6.6.6";for=192.0.2.7`}, "192.0.2.7"},
		"Forwarded, two proxies":       {"10.0.0.1", []string{forwarded, "for=192.0.2.7", forwarded, "for=10.0.0.2"}, "192.0.2.7"},
		"Forwarded, obfuscated":        {"10.0.0.1", []string{forwarded, "for=192.0.2.7, for=_hidden"}, "10.0.0.1"},
		"Forwarded, no for":            {"10.0.0.1", []string{forwarded, "for=192.0.2.7, proto=http"}, "10.0.0.1"},
		"Forwarded, open quote":        {"10.0.0.1", []string{forwarded, `for="6.6.6.6, for=192.0.2.7`}, "10.0.0.1"},
		"Forwarded, quote of a client": {"10.0.0.1", []string{forwarded, `for=1.1.1.1;host="`, forwarded, "for=192.0.2.7"}, "192.0.2.7"},
		"both agree":                   {"10.0.0.1", []string{xff, "192.0.2.7", forwarded, "for=192.0.2.7"}, "192.0.2.7"},
		"both disagree":                {"10.0.0.1", []string{xff, "192.0.2.7", forwarded, "for=6.6.6.6"}, "10.0.0.1"},
		"very long":                    {"10.0.0.1", []string{xff, strings.Repeat("10.0.0.5,", 5000) + "10.0.0.2"}, "10.0.0.5"},
	}
	p := proxies(t, "10.0.0.0/8", "fd00::/8")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for i := 0; i < len(test.headers); i += 2 {
				h.Add(test.headers[i], test.headers[i+1])
			}
			if got := p.Client(netip.MustParseAddr(test.remote), h).String(); got != test.want {
				t.Errorf("Client(%s, %v) = %s, want %s", test.remote, test.headers, got, test.want)
			}
		})
	}
}

// TestNobodyIsTrusted checks that the zero value ignores the headers.
func TestNobodyIsTrusted(t *testing.T) {
	t.Parallel()
	var p clientaddr.Proxies
	if got := p.Client(netip.MustParseAddr("127.0.0.1"), http.Header{"X-Forwarded-For": {"192.0.2.7"}}).String(); got != "127.0.0.1" {
		t.Errorf("Client = %s, want the address that connected", got)
	}
}

func TestParseProxies(t *testing.T) {
	t.Parallel()
	p := proxies(t, "192.0.2.1", " 10.1.2.3/8", "2001:db8::1", "::ffff:198.51.100.1")
	for addr, trusted := range map[string]bool{
		"192.0.2.1": true, "192.0.2.2": false, "10.255.0.1": true, "11.0.0.1": false, "2001:db8::1": true, "2001:db8::2": false, "198.51.100.1": true,
	} {
		got := p.Client(netip.MustParseAddr(addr), http.Header{"X-Forwarded-For": {"6.6.6.6"}}).String() == "6.6.6.6"
		if got != trusted {
			t.Errorf("%s is trusted: %t, want %t", addr, got, trusted)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "proxy.example", "10.0.0", "10.0.0.0/8,192.0.2.1"} {
		if _, err := clientaddr.ParseProxies([]string{bad}); err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") {
			t.Errorf("ParseProxies(%q): %v, want an error with an example", bad, err)
		}
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := clientaddr.Group(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Group(%s) = %s, want %s", addr, got, want)
		}
	}
	if got := clientaddr.Group(netip.Addr{}); got != "unknown" {
		t.Errorf("Group of no address = %s", got)
	}
}

func TestRemote(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[2001:db8::1]:80": "2001:db8::1", "[fe80::1%eth0]:80": "fe80::1", "pipe": "invalid IP", "": "invalid IP",
	} {
		if got := clientaddr.Remote(text).String(); got != want {
			t.Errorf("Remote(%q) = %s, want %s", text, got, want)
		}
	}
}

// FuzzClient checks that a client cannot change whom its request is attributed to: whatever it sends, the proxy appends
// its address in a line of its own or after a comma.
func FuzzClient(f *testing.F) {
	for _, text := range []string{"", "6.6.6.6", "6.6.6.6, ", `for="`, `for=10.0.0.9;by="`, "for=_x", "unknown", `"\`, "10.0.0.1,,10.0.0.2", "[::1", "for=1.1.1.1;"} {
		f.Add(text)
	}
	p := proxies(f, "10.0.0.0/8")
	remote := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, sent string) {
		const want = "192.0.2.7"
		for name, h := range map[string]http.Header{
			"X-Forwarded-For, appended":  {"X-Forwarded-For": {sent + ", " + want}},
			"X-Forwarded-For, own line":  {"X-Forwarded-For": {sent, want}},
			"X-Forwarded-For, two hops":  {"X-Forwarded-For": {sent + "," + want + ",10.0.0.2"}},
			"Forwarded, own line":        {"Forwarded": {sent, "for=" + want}},
			"Forwarded, own line, quote": {"Forwarded": {sent, `for="` + want + `:80"`}},
		} {
			if got := p.Client(remote, h).String(); got != want {
				t.Errorf("%s: %q is attributed to %s", name, h, got)
			}
		}
		// Appended to the client's own line, its quotes may hide the address. Then it is the proxy's request.
		got := p.Client(remote, http.Header{"Forwarded": {sent + ", for=" + want}}).String()
		if got != want && got != remote.String() {
			t.Errorf("Forwarded %q is attributed to %s", sent, got)
		}
		// Nobody but the proxy is believed.
		if got := p.Client(netip.MustParseAddr(want), http.Header{"Forwarded": {sent}, "X-Forwarded-For": {sent}}).String(); got != want {
			t.Errorf("%q from no proxy is attributed to %s", sent, got)
		}
	})
}
