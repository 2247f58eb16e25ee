package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
)

func TestExposed(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		":8080": true, "0.0.0.0:80": true, "[::]:80": true, "10.0.0.1:80": true, "example.com:80": true,
		"127.0.0.1:8080": false, "127.9.9.9:0": false, "[::1]:80": false, "localhost:80": false, "-": false,
	} {
		if got := exposed(addr); got != want {
			t.Errorf("exposed(%q) = %t, want %t", addr, got, want)
		}
	}
}

// TestWarnIfOpen checks that there is one line if others may use the server or read requests, and none otherwise.
func TestWarnIfOpen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flags serverFlags
		addr  string
		keys  bool
		want  string // part of the line; empty means none
	}{
		"open":        {serverFlags{}, ":8080", false, "set --keys, and --tls-cert"},
		"keys":        {serverFlags{}, ":8080", true, "can be read on the way"},
		"TLS":         {serverFlags{TLSCert: "c", TLSKey: "k"}, ":8080", false, "admits all clients; set --keys"},
		"mutual TLS":  {serverFlags{TLSCert: "c", TLSKey: "k", TLSClientCA: "a"}, ":8080", false, ""},
		"both":        {serverFlags{TLSCert: "c", TLSKey: "k"}, ":8080", true, ""},
		"one machine": {serverFlags{}, "127.0.0.1:8080", false, ""},
		"no server":   {serverFlags{}, "-", false, ""},
	} {
		var log bytes.Buffer
		test.flags.warnIfOpen(slog.New(slog.NewTextHandler(&log, nil)), test.addr, test.keys)
		want := 0
		if test.want != "" {
			want = 1
		}
		if strings.Count(log.String(), "\n") != want || !strings.Contains(log.String(), test.want) {
			t.Errorf("%s: logged %q, want %d lines with %q", name, log.String(), want, test.want)
		}
	}
}

// TestServerFlagsSayWhatIsWrong checks that errors name the flag.
func TestServerFlagsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := tlstest.NewAuthority(t).Issue(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"dispatcher", "--tls-cert", f.Cert}, "--tls-cert and --tls-key belong together"},
		{[]string{"dispatcher", "--tls-client-ca", f.CA}, "--tls-client-ca requires"},
		{[]string{"dispatcher", "--tls-cert", "missing", "--tls-key", f.Key}, "--tls-cert: stat"},
		{[]string{"dispatcher", "--tls-cert", f.CA, "--tls-key", f.Key}, "private key does not match"},
		{[]string{"dispatcher", "--replica-cert", f.Cert}, "--replica-cert and --replica-key belong together"},
		{[]string{"dispatcher", "--replica-ca", f.Key}, "no certificate in PEM form"},
		{[]string{"dispatcher", "--cors-origin", "example.com"}, "--cors-origin: origin"},
		{[]string{"dispatcher", "--allow-host", "https://x"}, "--allow-host: host"},
		{[]string{"dispatcher", "--admin-addr", "203.0.113.1:1"}, "admin address: "},
		{[]string{"up", "--tls-key", f.Key}, "--tls-cert and --tls-key belong together"},
		{[]string{"replica", "--random-weights", "--tls-key", f.Key}, "--tls-cert and --tls-key belong together"},
		{[]string{"autoscaler", "--deployment", "x", "--tls-key", f.Key}, "--tls-cert and --tls-key belong together"},
		{[]string{"autoscaler", "--deployment", "x", "--dispatcher-key", f.Key}, "--dispatcher-cert and --dispatcher-key belong together"},
		{[]string{"autoscaler", "explain", "--ca", f.Key}, "--ca, --cert, --key: certificate authorities"},
		{[]string{"autoscaler", "explain", "--cert", f.Cert}, "--ca, --cert, --key: set both"},
		{[]string{"loadtest", "--cert", f.Cert, "--images", "x"}, "--ca, --cert, --key: set both"},
	} {
		args := append(slices.Clone(test.args), "--config", os.DevNull)
		if test.args[0] == "dispatcher" {
			args = append(args, "--addr", "127.0.0.1:0", "--data-dir", t.TempDir())
		}
		if _, _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want an error with %q", test.args, err, test.want)
		}
	}
}

// TestServerEnv checks that the replicas of up get none of the variables of up's server.
func TestServerEnv(t *testing.T) {
	t.Parallel()
	var f serverFlags
	parser, err := kong.New(&f)
	if err != nil {
		t.Fatal(err)
	}
	var envs []string
	for _, flag := range parser.Model.AllFlags(true)[0] {
		envs = append(envs, flag.Envs...)
	}
	if !reflect.DeepEqual(envs, serverEnv) {
		t.Errorf("serverEnv is %v, the flags have %v", serverEnv, envs)
	}
}

// TestUpServesHTTPS runs everything with TLS by the environment: the page and the API by HTTPS, replicas without, and
// the autoscaler with figures of the dispatcher, whose certificate names another host.
func TestUpServesHTTPS(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	f := authority.Issue(t)
	t.Setenv("RESNET18_TLS_CERT", f.Cert)
	t.Setenv("RESNET18_TLS_KEY", f.Key)
	t.Setenv("RESNET18_TLS_CLIENT_CA", f.CA)
	t.Setenv("RESNET18_ADMIN_ADDR", "127.0.0.1:0")
	why, stop := serve(t, regexp.MustCompile(`why +curl (\S+)/decisions`), "up", "--addr", "127.0.0.1:0", "--replica-port", "0",
		"--data-dir", t.TempDir(), "--autoscale", "1:1", "--autoscaler-addr", "127.0.0.1:0")
	firstDecision(t, http.DefaultClient, why)
	if err := stop(); err != nil {
		t.Errorf("up: %v", err)
	}
}

// TestUpIsOnThisMachine checks that up listens on the loopback interface and says how to open it.
func TestUpIsOnThisMachine(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	for url, page := range map[string]string{"http://127.0.0.1:8081": "http://127.0.0.1:8081/\n", "https://[::1]:8081/photos": "https://[::1]:8081/photos/\n"} {
		said.Reset()
		greet(&said, url, "weights", "a.jpg", false, false, nil)
		for _, want := range []string{"add --addr :8081 to", "running at " + url + "\n", "page    " + page, url + "/predict", url + "/dashboard", "--url " + url + "\n", url + "/status"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("up at %s does not say %q:\n%s", url, want, said.String())
			}
		}
	}
	said.Reset()
	greet(&said, "http://127.0.0.1:8080", "weights", "my photos/a.jpg", true, false, nil)
	if strings.Contains(said.String(), "--addr") {
		t.Errorf("an open up says how to open it:\n%s", said.String())
	}
	if !strings.Contains(said.String(), "curl -F 'image=@my photos/a.jpg' http://") {
		t.Errorf("a name with a space is not quoted:\n%s", said.String())
	}
	said.Reset()
	greet(&said, "http://127.0.0.1:8080", "weights", "my photos/a.jpg", true, true, nil)
	if strings.Count(said.String(), "--token-file FILE\n") != 2 {
		t.Errorf("up with keys does not say that status and loadtest need a token:\n%s", said.String())
	}
	var c cli
	parser, err := kong.New(&c, kong.Vars{"schedules": "", "conditions": ""}, policyVars(), simulatedVars(), modelVars(), kong.ExplicitGroups(flagGroups))
	if err == nil {
		_, err = parser.Parse([]string{"up", "--autoscale", "1:2"})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{c.Up.Addr, c.Up.AutoscalerAddr} {
		if addr == "" || exposed(addr) {
			t.Errorf("up listens on %q, want a loopback address unless told otherwise", addr)
		}
	}
}

// TestUpTriesAPicture checks which picture up's greeting names.
func TestUpTriesAPicture(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.jpg", "c.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for folder, want := range map[string]string{dir: filepath.Join(dir, "b.jpg"), t.TempDir(): "picture.jpg", "": "picture.jpg"} {
		if got := (upCmd{Images: folder}).picture(); got != want {
			t.Errorf("with --images %q: %s, want %s", folder, got, want)
		}
	}
	for word, want := range map[string]string{"a/b-1.jpg": "a/b-1.jpg", "a b": "'a b'", "it's": `'it'\''s'`, "ä": "'ä'"} {
		if got := shellQuoted(word); got != want {
			t.Errorf("%q in a shell: %s, want %s", word, got, want)
		}
	}
}

// TestServersWarnIfOpen starts each command with a server, as others on the network reach it, and waits for its warning.
func TestServersWarnIfOpen(t *testing.T) {
	t.Parallel()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],"contexts":[{"name":"c","context":{"cluster":"c","namespace":"n"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"dispatcher", "--data-dir", t.TempDir()},
		{"replica", "--random-weights"},
		{"autoscaler", "--deployment", "x", "--kubeconfig", kubeconfig},
		{"up", "--replica-port", "0", "--data-dir", t.TempDir()},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			_, stop := serve(t, regexp.MustCompile(`level=WARN msg="(open to everyone who reaches this address)`), append(args, "--addr", "0.0.0.0:0")...)
			_ = stop() // it may not have been ready
		})
	}
}

// TestLoadtestTrusts runs a load test against a server with a certificate of its own authority.
func TestLoadtestTrusts(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	f := authority.Issue(t)
	certs := tlsfiles.New(f, nil)
	if err := certs.Load(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"filename":"a.jpg","inference_time":0.004,"predictions":["goldfinch"]}`))
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.TLS = certs.Server()
	server.StartTLS()
	t.Cleanup(server.Close)
	args := []string{"--url", server.URL, "--images", pictures(t), "--api", "sync", "--schedule", "20"}
	if out, log, err := loadtest(t, append(args, "--ca", f.CA, "--cert", f.Cert, "--key", f.Key)...); err != nil || !strings.Contains(out, "20 images") {
		t.Errorf("%v\n%s\n%s", err, out, log)
	}
	if _, _, err := loadtest(t, append(args, "--cert", f.Cert, "--key", f.Key)...); err == nil || !strings.Contains(err.Error(), "authority") {
		t.Errorf("without --ca: %v, want an error about the authority", err)
	}
}

// TestExplainTrusts asks an autoscaler that demands a certificate and a token.
func TestExplainTrusts(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	f := authority.Issue(t)
	certs := tlsfiles.New(f, nil) // with an authority, a server demands certificates
	if err := certs.Load(); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	secret := access.NewToken()
	if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte(`{"now":{"policy":"deadline","replicas":3,"was":3,"reasons":[{"rule":"steady","replicas":3}]},"changes":[]}`))
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.TLS = certs.Server()
	server.StartTLS()
	t.Cleanup(server.Close)
	args := []string{"autoscaler", "explain", "--url", server.URL, "--ca", f.CA, "--token-file", token}
	if out, _, err := command(t, append(args, "--cert", f.Cert, "--key", f.Key)...); err != nil || !strings.Contains(out, "keeps 3 replicas") {
		t.Errorf("explain: %v, printed %q", err, out)
	}
	if _, _, err := command(t, args...); err == nil {
		t.Error("explain without a certificate: no error")
	}
}

// TestInProcess checks the responses of a handler of this process.
func TestInProcess(t *testing.T) {
	t.Parallel()
	client := http.Client{Transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path == "/silent" {
			return
		}
		httpx.WriteJSON(w, http.StatusAccepted, string(body))
	})}}
	resp, err := client.Get("http://x/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted || string(body) != "\"\"\n" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("response %d %q %v", resp.StatusCode, body, resp.Header)
	}
	if resp, err = client.Get("http://x/silent"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("response of a handler that writes nothing: %v %v", resp, err)
	}
}
