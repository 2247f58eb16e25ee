package access_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hash is the hash of a token in a keys file.
func hash(token string) string { return access.HashOf(token).String() }

func TestParse(t *testing.T) {
	t.Parallel()
	shop := access.Client{Name: "shop", Scopes: access.Predict, Rate: 2.5, InFlight: 100}
	got, err := access.Parse("keys.txt", []byte("# clients\n\n"+
		"  shop\tpredict  "+hash("old")+" rate=2.5 in-flight=100 # until May\r\n"+
		"shop predict "+hash("new")+" in-flight=100 rate=2.5\n"+
		"ops.2_x-Y read,admin "+strings.ToUpper(hash("ops"))[:7]+"\n"))
	if err == nil || got != nil {
		t.Errorf("a hash in upper case: %v, %v, want an error", got, err)
	}
	got, err = access.Parse("keys.txt", []byte("# clients\n\n"+
		"  shop\tpredict  "+hash("old")+" rate=2.5 in-flight=100 # until May\r\n"+
		"shop predict "+hash("new")+" in-flight=100 rate=2.5\n"+
		"ops.2_x-Y read,admin "+hash("ops")))
	want := access.Keys{{shop, access.HashOf("old")}, {shop, access.HashOf("new")},
		{access.Client{Name: "ops.2_x-Y", Scopes: access.Read | access.Admin}, access.HashOf("ops")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Parse: %v (-want +got):\n%s", err, diff)
	}
	for token, want := range map[string]access.Client{"old": shop, "new": shop, "ops": want[2].Client} {
		if c, ok := got.Find(token); !ok || c != want {
			t.Errorf("Find(%q) = %+v, %t, want %+v", token, c, ok, want)
		}
	}
	for _, token := range []string{"", "shop", "ol", hash("old"), string(make([]byte, 32))} {
		if c, ok := got.Find(token); ok {
			t.Errorf("Find(%q) = %+v", token, c)
		}
	}
	for _, k := range got { // what is printed can be read
		if again, err := access.Parse("", []byte(k.String())); err != nil || len(again) != 1 || again[0] != k {
			t.Errorf("%q: %v, %v", k, again, err)
		}
	}
}

// TestParseProblems checks that a problem is reported with its file and line, and that a token in the wrong place is not
// repeated.
func TestParseProblems(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	good := "shop predict " + hash("a")
	for name, test := range map[string]struct{ text, want string }{
		"only a name":         {"shop", "keys.txt:2: a line must have"},
		"no hash":             {"shop predict", "keys.txt:2: a line must have"},
		"token as a hash":     {"shop predict " + token, "keys.txt:2: there is a token where its hash belongs"},
		"token as scopes":     {"shop " + token + " predict", "keys.txt:2: scopes must be"},
		"token as a name":     {token + " predict " + hash("a"), "keys.txt:2: a name must"},
		"token as a limit":    {good + " " + token, "keys.txt:2: after the hash"},
		"short hash":          {"shop predict sha256:abcd", "keys.txt:2: a key must be"},
		"no prefix":           {"shop predict " + strings.TrimPrefix(hash("a"), "sha256:"), "keys.txt:2: a key must be"},
		"not hexadecimal":     {"shop predict sha256:" + strings.Repeat("g", 64), "keys.txt:2: a key must be"},
		"no scope":            {"shop , " + hash("a"), "keys.txt:2: scopes must be"},
		"unknown scope":       {"shop predict,write " + hash("a"), "keys.txt:2: scopes must be"},
		"slash in a name":     {"a/b predict " + hash("a"), "keys.txt:2: a name must"},
		"hyphen first":        {"-a predict " + hash("a"), "keys.txt:2: a name must"},
		"long name":           {strings.Repeat("a", 65) + " predict " + hash("a"), "keys.txt:2: a name must"},
		"rate of zero":        {good + " rate=0", "keys.txt:2: rate must"},
		"rate not a number":   {good + " rate=nan", "keys.txt:2: rate must"},
		"infinite rate":       {good + " rate=+Inf", "keys.txt:2: rate must"},
		"in flight zero":      {good + " in-flight=0", "keys.txt:2: in-flight must"},
		"half in flight":      {good + " in-flight=0.5", "keys.txt:2: in-flight must"},
		"unknown limit":       {good + " burst=1", "keys.txt:2: after the hash"},
		"not text":            {"shop predict " + hash("a") + " \xff", "keys.txt:2: the line is not UTF-8"},
		"token twice":         {good + "\nops read " + hash("a"), "keys.txt: the keys of shop and ops have the same token"},
		"limits differ":       {good + " rate=1\nshop predict " + hash("b"), "keys.txt: the keys of shop have different limits"},
		"several problems":    {"shop\nops", "keys.txt:3: a line must have"},
		"too many keys":       {strings.Repeat(good+"\n", 10_001), "10001 keys, want at most 10000"},
		"rate above anything": {good + " rate=1e300", "keys.txt:2: rate must"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, err := access.Parse("keys.txt", []byte("# one line\n"+test.text+"\n"))
			if keys != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse = %v, %v, want %q", keys, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), token[4:]) {
				t.Errorf("the error repeats the token: %v", err)
			}
		})
	}
}

func TestNewToken(t *testing.T) {
	t.Parallel()
	a, b := access.NewToken(), access.NewToken()
	if form := regexp.MustCompile(`^r18_[A-Za-z0-9_-]{43}$`); a == b || !form.MatchString(a) {
		t.Errorf("tokens %q and %q", a, b)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	const p, r, a = access.Predict, access.Read, access.Admin
	for _, test := range []struct {
		have, need access.Scopes
		want       bool
	}{
		{0, p, false}, {0, a, false}, {p, p, true}, {p, r, false}, {p, a, false}, {p, p | r, true}, {r, p | r, true}, {r, p, false},
		{a, p, true}, {a, r, true}, {a, a, true}, {p | r, a, false},
	} {
		if got := test.have.Allow(test.need); got != test.want {
			t.Errorf("%q allow %q: %t", test.have, test.need, got)
		}
	}
	if got := (p | r | a).String(); got != "predict,read,admin" {
		t.Errorf("all scopes are %q", got)
	}
}

// file writes a keys file and returns its path.
func file(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.txt")
	write(t, path, strings.Join(lines, "\n"))
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// request returns the status of a request that needs a scope, the name of the client that the handler found, and the
// response.
func request(g *access.Guard, need access.Scopes, authorization ...string) (status int, name string, w *httptest.ResponseRecorder) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if len(authorization) > 0 {
		r.Header["Authorization"] = authorization
	}
	w = httptest.NewRecorder()
	httpx.Handler(slog.New(slog.DiscardHandler), g.Require(need, func(_ http.ResponseWriter, r *http.Request) error {
		c, ok := access.FromContext(r.Context())
		if name = c.Name; !ok {
			name = "-"
		}
		return nil
	})).ServeHTTP(w, r)
	return w.Code, name, w
}

func TestRequire(t *testing.T) {
	t.Parallel()
	g, err := access.Open(file(t, "shop predict "+hash("shop-token"), "ops admin "+hash("ops-token")), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		header    []string
		need      access.Scopes
		status    int
		client    string // found by the handler; empty if it was not called
		challenge string
	}{
		"open":               {nil, 0, 200, "-", ""},
		"open, with a key":   {[]string{"Bearer wrong"}, 0, 200, "-", ""},
		"no key":             {nil, access.Predict, 401, "", `Bearer realm="resnet18cloud"`},
		"empty":              {[]string{"Bearer "}, access.Predict, 401, "", `Bearer realm="resnet18cloud"`},
		"another scheme":     {[]string{"Basic shop-token"}, access.Predict, 401, "", `Bearer realm="resnet18cloud"`},
		"only a token":       {[]string{"shop-token"}, access.Predict, 401, "", `Bearer realm="resnet18cloud"`},
		"two headers":        {[]string{"Bearer shop-token", "Bearer shop-token"}, access.Predict, 401, "", `Bearer realm="resnet18cloud"`},
		"wrong":              {[]string{"Bearer shop-tokeN"}, access.Predict, 401, "", `Bearer realm="resnet18cloud", error="invalid_token"`},
		"the hash":           {[]string{"Bearer " + hash("shop-token")}, access.Predict, 401, "", `Bearer realm="resnet18cloud", error="invalid_token"`},
		"two tokens":         {[]string{"Bearer shop-token ops-token"}, access.Predict, 401, "", `Bearer realm="resnet18cloud", error="invalid_token"`},
		"right":              {[]string{"Bearer shop-token"}, access.Predict, 200, "shop", ""},
		"right, spelt loose": {[]string{"bEARER   shop-token "}, access.Predict | access.Read, 200, "shop", ""},
		"scope missing":      {[]string{"Bearer shop-token"}, access.Read | access.Admin, 403, "", `Bearer realm="resnet18cloud", error="insufficient_scope", scope="read admin"`},
		"admin":              {[]string{"Bearer ops-token"}, access.Read, 200, "ops", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, client, w := request(g, test.need, test.header...)
			if status != test.status || client != test.client || w.Header().Get("WWW-Authenticate") != test.challenge {
				t.Errorf("%d for %q, challenge %q; want %d for %q, %q", status, client, w.Header().Get("WWW-Authenticate"), test.status, test.client, test.challenge)
			}
			if status == 200 {
				return
			}
			var body httpx.ErrorBody
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == "" || body.Hint == "" || strings.Contains(w.Body.String(), "token ") {
				t.Errorf("body %s, %v", w.Body, err)
			}
		})
	}
	if status, client, _ := request(nil, access.Admin); status != 200 || client != "-" {
		t.Errorf("without keys: %d for %q, want 200 for everyone", status, client)
	}
}

// TestIssue checks that keys of the process are valid beside those of the file, also after the file has changed.
func TestIssue(t *testing.T) {
	t.Parallel()
	g, err := access.Open(file(t, "shop predict "+hash("a")), nil)
	if err != nil {
		t.Fatal(err)
	}
	token := g.Issue(access.Client{Name: "up", Scopes: access.Read})
	if status, client, _ := request(g, access.Read, "Bearer "+token); status != 200 || client != "up" {
		t.Errorf("own key: %d for %q", status, client)
	}
	if status, client, _ := request(g, access.Predict, "Bearer a"); status != 200 || client != "shop" {
		t.Errorf("key of the file: %d for %q", status, client)
	}
	if len(g.Keys()) != 1 {
		t.Errorf("%d keys, want the one of the file", len(g.Keys()))
	}
}

// following runs part in a bubble until check has returned. Files are real, time is not.
func following(t *testing.T, run func(context.Context) error, check func(wait func())) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	check(func() { time.Sleep(2 * time.Second); synctest.Wait() })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestReload checks that a changed file is used within seconds, and that one that is broken or missing is reported once
// while the previous keys stay valid.
func TestReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := file(t, "shop predict "+hash("a"))
		var log testutil.Log
		g, err := access.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		following(t, g.Run, func(wait func()) {
			valid := func(when string, tokens ...string) {
				t.Helper()
				for _, token := range []string{"a", "b", "c"} {
					status, _, _ := request(g, access.Predict, "Bearer "+token)
					if want := strings.Contains(strings.Join(tokens, ""), token); want != (status == 200) {
						t.Errorf("%s: key %s gives %d", when, token, status)
					}
				}
			}
			logged := func(when string, want int) {
				t.Helper()
				if got := strings.Count(log.String(), "\n"); got != want {
					t.Errorf("%s: %d lines were logged, want %d:\n%s", when, got, want, log.String())
				}
			}
			valid("at first", "a")
			wait()
			logged("without a change", 0)
			write(t, path, "shop predict "+hash("a")+"\nshop predict "+hash("b"))
			wait()
			valid("while a key is replaced", "a", "b")
			logged("after a change", 1)
			write(t, path, "shop predict "+hash("b")+"\nops "+access.NewToken())
			wait()
			wait()
			valid("broken", "a", "b")
			logged("broken", 2)
			write(t, path, "")
			wait()
			valid("empty", "a", "b")
			logged("empty", 3)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			wait()
			wait()
			valid("removed", "a", "b")
			logged("removed", 4)
			write(t, path, "shop predict "+hash("b")+"\nshop predict "+hash("c"))
			wait()
			valid("repaired", "b", "c")
			logged("repaired", 5)
		})
		if strings.Contains(log.String(), "r18_") {
			t.Errorf("the log has a token:\n%s", log.String())
		}
	})
}

// TestFolder checks that a folder is read as Kubernetes mounts a Secret: its files are symbolic links to those of a
// hidden folder, and a change replaces the link to that.
func TestFolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mount := func(version string, lines map[string]string) {
			t.Helper()
			if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, line := range lines {
				write(t, filepath.Join(dir, version, name), line)
			}
			link := filepath.Join(dir, "..data")
			if err := os.Symlink(version, link+"_tmp"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(link+"_tmp", link); err != nil {
				t.Fatal(err)
			}
		}
		mount("..2026_a", map[string]string{"shop": "shop predict " + hash("a"), "ops": "ops admin " + hash("b")})
		for _, name := range []string{"shop", "ops"} {
			if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		g, err := access.Open(dir, nil)
		if err != nil || len(g.Keys()) != 2 {
			t.Fatalf("Open: %v, want two keys", err)
		}
		following(t, g.Run, func(wait func()) {
			mount("..2026_b", map[string]string{"shop": "shop predict " + hash("c"), "ops": "ops admin " + hash("b")})
			wait()
			if status, _, _ := request(g, access.Predict, "Bearer c"); status != 200 {
				t.Errorf("the new key gives %d", status)
			}
			if status, _, _ := request(g, access.Predict, "Bearer a"); status != 401 {
				t.Errorf("the old key gives %d", status)
			}
		})
	})
}

func TestOpenProblems(t *testing.T) {
	t.Parallel()
	dir, large := t.TempDir(), file(t, strings.Repeat("#", 5<<20))
	twice := t.TempDir()
	write(t, filepath.Join(twice, "a"), "a read "+hash("x"))
	write(t, filepath.Join(twice, "b"), "b read "+hash("x"))
	for name, test := range map[string]struct{ path, want string }{
		"missing":        {filepath.Join(dir, "none"), "no such file"},
		"empty folder":   {dir, "keys new"},
		"empty file":     {file(t, "# nothing"), "keys new"},
		"too large":      {large, "larger than"},
		"same token":     {twice, "the keys of a and b have the same token"},
		"broken":         {file(t, "a"), ":1: a line must have"},
		"not a key file": {file(t, "-----BEGIN CERTIFICATE-----"), ":1: "},
	} {
		if g, err := access.Open(test.path, nil); g != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		for text, want := range map[string]string{"": "empty", "two words": "one word", strings.Repeat("a", 2000): "at most 1024", "a\x00b": "one word"} {
			write(t, path, text)
			if _, err := access.OpenTokenFile(path, nil); err == nil || !strings.Contains(err.Error(), want) || text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("%.10q: %v, want %q", text, err, want)
			}
		}
		write(t, path, "first\n")
		var log testutil.Log
		f, err := access.OpenTokenFile(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		following(t, f.Run, func(wait func()) {
			write(t, path, " s3cond-._~+/Z= ")
			wait()
			h := http.Header{}
			if access.SetBearer(h, f.Token()); h.Get("Authorization") != "Bearer s3cond-._~+/Z=" {
				t.Errorf("the changed token is sent as %q", h.Get("Authorization"))
			}
			write(t, path, "")
			wait()
			wait()
			if f.Token() != "s3cond-._~+/Z=" || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("token %q after the file was emptied; log:\n%s", f.Token(), log.String())
			}
		})
		var none *access.TokenFile
		h := http.Header{}
		if access.SetBearer(h, none.Token()); len(h) != 0 {
			t.Errorf("without a file: %v", h)
		}
	})
}

// BenchmarkFind compares a token with a thousand keys.
func BenchmarkFind(b *testing.B) {
	keys := make(access.Keys, 1000)
	for i := range keys {
		keys[i].Hash = access.HashOf(access.NewToken())
	}
	token := access.NewToken()
	for b.Loop() {
		keys.Find(token)
	}
}
