package httpx

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPrefix(t *testing.T) {
	t.Parallel()
	told := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.URL.EscapedPath(), PrefixOf(r.Context()))
	})
	trusted := func(*http.Request) bool { return true }
	cases := []struct {
		base, path, header string
		trusts             func(*http.Request) bool
		status             int
		want               string // path and prefix, or Location
	}{
		{"", "/status", "", nil, 200, "/status "},
		{"", "/status", "/photos", nil, 200, "/status "},
		{"", "/status", "/photos", func(*http.Request) bool { return false }, 200, "/status "},
		{"", "/status", "/photos/", trusted, 200, "/status /photos"},
		{"", "/status", "", trusted, 200, "/status "},
		{"", "/status", "//evil.example", trusted, 200, "/status "},
		{"", "/status", "https://evil.example", trusted, 200, "/status "},
		{"/photos", "/photos/status", "", nil, 200, "/status /photos"},
		{"/photos", "/status", "", nil, 200, "/status /photos"},
		{"/photos", "/photos2/status", "", nil, 200, "/photos2/status /photos"},
		{"/photos", "/photos/a%2Fb", "", nil, 200, "/a%2Fb /photos"},
		{"/photos", "/photos/", "", nil, 200, "/ /photos"},
		{"/photos", "/photos?sample=candle", "", nil, 307, "/photos/?sample=candle"},
		{"/photos", "/photos", "/outer", trusted, 307, "/outer/photos/"},
		{"/photos", "/photos/status", "/outer", trusted, 200, "/status /outer/photos"},
		{"/photos", "/status", "/outer", trusted, 200, "/status /outer"},
	}
	for _, c := range cases {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		if c.header != "" {
			r.Header.Set("X-Forwarded-Prefix", c.header)
		}
		w := httptest.NewRecorder()
		Prefix{Base: c.base, Trusts: c.trusts}.Handler(told).ServeHTTP(w, r)
		got := w.Body.String()
		if w.Code == http.StatusTemporaryRedirect {
			got = w.Header().Get("Location")
		}
		if w.Code != c.status || got != c.want {
			t.Errorf("base %q, GET %s, header %q: %d %q, want %d %q", c.base, c.path, c.header, w.Code, got, c.status, c.want)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "/": "", "/photos": "/photos", "/photos/": "/photos", "/a/b-1.2_~": "/a/b-1.2_~"} {
		if got, err := ParsePrefix(text); err != nil || got != want {
			t.Errorf("ParsePrefix(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"photos", "//", "//evil.example", "/a//b", "/a/../b", "/..", "/a b", "/a?b", "/a%2e", "/ä", "/a\r\nX: y", "/" + strings.Repeat("a", 300)} {
		if got, err := ParsePrefix(text); err == nil {
			t.Errorf("ParsePrefix(%.20q) = %q, want an error", text, got)
		}
	}
}

func FuzzParsePrefix(f *testing.F) {
	f.Add("/photos/")
	f.Add("//evil.example")
	f.Fuzz(func(t *testing.T, text string) {
		prefix, err := ParsePrefix(text)
		if err == nil && prefix != "" && (prefix[0] != '/' || strings.HasPrefix(prefix, "//") || strings.ContainsAny(prefix, "\r\n?#%\\ ")) {
			t.Errorf("ParsePrefix(%q) = %q", text, prefix)
		}
	})
}
