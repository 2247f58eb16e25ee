package webhook

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/internal/webhooksig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func allow(t *testing.T, list ...string) Allow {
	t.Helper()
	a, err := ParseAllow(list)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		allow string // separated by spaces
		url   string
		want  error
	}{
		{"", "https://hooks.example.com/", ErrHost},
		{"hooks.example.com", "https://hooks.example.com/a?b=c", nil},
		{"hooks.example.com", "https://HOOKS.example.com.:443/a", nil},
		{"Hooks.Example.com", "https://hooks.example.com", nil},
		{"https://hooks.example.com", "https://hooks.example.com", nil},
		{"hooks.example.com", "http://hooks.example.com/", ErrHost},
		{"http://hooks.example.com", "http://hooks.example.com/", nil},
		{"http://hooks.example.com", "https://hooks.example.com/", nil},
		{"hooks.example.com", "https://hooks.example.com:8443/", ErrHost},
		{"hooks.example.com:8443", "https://hooks.example.com:8443/", nil},
		{"hooks.example.com:8443", "https://hooks.example.com/", ErrHost},
		{"hooks.example.com", "https://example.com/", ErrHost},
		{"hooks.example.com", "https://hooks.example.com.evil.com/", ErrHost},
		{"hooks.example.com", "https://evilhooks.example.com/", ErrHost},
		{"*.example.com", "https://a.b.example.com/", nil},
		{"*.example.com", "https://example.com/", ErrHost},
		{"*.example.com", "https://evilexample.com/", ErrHost},
		{"10.0.0.0/24", "https://10.0.0.7/", nil},
		{"10.0.0.0/24", "https://10.0.1.7/", ErrHost},
		{"10.0.0.0/24", "https://[::ffff:10.0.0.7]/", nil},
		{"http://127.0.0.1:9000", "http://127.0.0.1:9000/x", nil},
		{"http://127.0.0.1:9000", "http://127.0.0.1/x", ErrHost},
		{"http://127.0.0.1:9000", "http://localhost:9000/x", ErrHost},
		{"fd00::7", "https://[fd00::7]/", nil},
		{"fd00::7", "https://[fd00::8]/", ErrHost},
		{"hooks.example.com 10.0.0.7", "https://10.0.0.7/", nil},
		{"hooks.example.com", "ftp://hooks.example.com/", ErrURL},
		{"hooks.example.com", "hooks.example.com", ErrURL},
		{"hooks.example.com", "https:///a", ErrURL},
		{"hooks.example.com", "https://user:password@hooks.example.com/", ErrURL},
		{"hooks.example.com", "https://hooks.example.com/#a", ErrURL},
		{"hooks.example.com", "https://hooks.example.com/ü", ErrURL},
		{"hooks.example.com", "https://hooks.example.com/a b", ErrURL},
		{"hooks.example.com", "https://hooks.example.com/" + strings.Repeat("a", 2048), ErrURL},
		{"hooks.example.com", "https://evil.com\\@hooks.example.com/", ErrURL},
		{"*.example.com", "https://evil.com%EF%BC%8F.example.com/", ErrURL},
		{"*.example.com", "https://%C3%BC.example.com/", ErrURL},
		{"*.example.com", "https://.example.com/", ErrURL},
		{"*.example.com", "https://a..example.com/", ErrURL},
		{"*.example.com", "https://xn--tda.example.com/", nil},
	} {
		if err := allow(t, strings.Fields(test.allow)...).Check(test.url); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("with %q: Check(%q) = %v, want %v", test.allow, test.url, err, test.want)
		}
	}
	for _, entry := range []string{"", "*", "*.com", "a*.example.com", "hooks.example.com/path", "hooks.example.com:", "hooks.example.com:port", "user@hooks.example.com", "10.0.0.0/33", "ftp://hooks.example.com"} {
		if _, err := ParseAllow([]string{entry}); err == nil {
			t.Errorf("ParseAllow(%q) succeeds", entry)
		}
	}
}

func TestHostOf(t *testing.T) {
	t.Parallel()
	for want, urls := range map[string][]string{
		"hooks.example.com:443": {"https://hooks.example.com", "https://HOOKS.Example.com/a", "https://hooks.example.com./", "https://hooks.example.com:443/", "HTTPS://hooks.example.com"},
		"hooks.example.com:80":  {"http://hooks.example.com/"},
		"10.0.0.7:8443":         {"https://10.0.0.7:8443/", "https://[::ffff:10.0.0.7]:8443/", "https://[::ffff:a00:7]:8443/"},
		"[fd00::7]:443":         {"https://[fd00::7]/", "https://[FD00:0::7]/"},
	} {
		for _, url := range urls {
			if got := HostOf(url); got != want {
				t.Errorf("HostOf(%s) = %q, want %q", url, got, want)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://hooks.example.com/a", "https://10.0.0.7/", "http://[::1%25eth0]:80/", "https://a@b/", "https://a.example.org:443/", "https://%C3%BC.example.org"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, entry, text string) {
		if a, err := ParseAllow([]string{"hooks.example.com", entry}); err == nil && a.Check(text) == nil {
			if len(text) > maxURL || HostOf(text) == "" {
				t.Errorf("a URL of %d bytes is allowed, host %q", len(text), HostOf(text))
			}
		}
		// Whatever a text is: what is allowed leads to a host of the list, as net/http reads it.
		request, err := http.NewRequest(http.MethodPost, text, http.NoBody)
		if known := allow(t, "hooks.example.com", "*.example.org"); known.Check(text) == nil {
			if err != nil {
				t.Fatal(err)
			}
			name, port, err := net.SplitHostPort(HostOf(text))
			if err != nil || name != "hooks.example.com" && !strings.HasSuffix(name, ".example.org") || port != "443" ||
				request.URL.Scheme != "https" || request.URL.User != nil || nameOf(request.URL) != name {
				t.Errorf("%q is allowed, and leads to %q of %s", text, HostOf(text), request.URL)
			}
		}
	})
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "127.9.9.9": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"0.0.0.0": false, "0.1.2.3": false, "100.64.0.1": false, "192.0.0.1": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fd00::1": false, "fc00::1": false, "ff02::1": false, "2606:4700::1111%eth0": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::7f00:1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false, "fec0::1": false,
		"::ffff:0:127.0.0.1": false, "::ffff:0:a00:1": false, "64:ff9b:1::1": false, "100::1": false, "100:0:0:1::1": false, "5f00::1": false, "4000::1": false,
	} {
		if got := allow(t, "hooks.example.com").permits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("permits(%s) = %t, want %t", addr, got, want)
		}
	}
	named := allow(t, "10.0.0.0/24", "::1")
	for addr, want := range map[string]bool{"10.0.0.9": true, "::ffff:10.0.0.9": true, "10.0.1.9": false, "::1": true, "127.0.0.1": false} {
		if got := named.permits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("with its network named: permits(%s) = %t, want %t", addr, got, want)
		}
	}
}

// TestSend checks what a receiver gets, and what its answers mean.
func TestSend(t *testing.T) {
	t.Parallel()
	secret := webhooksig.Secret(strings.Repeat("k", 32))
	var elsewhere atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if verified := secret.Verify(r.Header, time.Now(), body); err != nil || verified != nil || string(body) != "{}" || r.Method != http.MethodPost ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Webhook-Id") != "id" || r.UserAgent() != "test/1" {
			t.Errorf("%s %s %v: %v, %v", r.Method, body, r.Header, err, verified)
		}
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err != nil {
			elsewhere.Add(1)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer server.Close()
	s := NewSender(allow(t, "http://"+strings.TrimPrefix(server.URL, "http://")), "test/1")
	defer s.Close()
	for status, want := range map[int]Outcome{
		200: {Delivered: true}, 202: {Delivered: true}, 204: {Delivered: true},
		302: {Problem: "HTTP 302"}, 307: {Problem: "HTTP 307"}, 308: {Problem: "HTTP 308"}, 400: {Problem: "HTTP 400"}, 410: {Problem: "HTTP 410", Gone: true}, 500: {Problem: "HTTP 500"},
	} {
		if got := s.Send(t.Context(), fmt.Sprintf("%s/%d", server.URL, status), secret, "id", []byte("{}")); got != want {
			t.Errorf("after an answer of %d: %+v, want %+v", status, got, want)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestWebhookAddresses checks that a name which leads to an address that is not public, or to another one than when it was
// checked, does not make the sender connect, and that the reason says nothing about what is there.
func TestWebhookAddresses(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	a := allow(t, "http://localhost"+port, "http://localhost:1")
	s := NewSender(a, "test")
	defer s.Close()
	for _, url := range []string{"http://localhost" + port, "http://localhost:1"} {
		if err := a.Check(url); err != nil {
			t.Errorf("Check(%s): %v", url, err)
		}
		if got := s.Send(t.Context(), url, nil, "id", nil); got != (Outcome{Problem: "address is not allowed"}) {
			t.Errorf("%s: %+v, want that its address is not allowed", url, got)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	total := time.Duration(0)
	for attempts := 1; ; attempts++ {
		pause, ok := Next(attempts)
		if !ok {
			if attempts != Attempts || total < 30*time.Minute || total > 45*time.Minute {
				t.Errorf("%d attempts over %v", attempts, total)
			}
			return
		}
		total += pause
	}
}
