package tlsfiles_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
)

// write replaces a file.
func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyFiles replaces the content of files.
func copyFiles(t *testing.T, to, from tlsfiles.Files) {
	t.Helper()
	for source, target := range map[string]string{from.Cert: to.Cert, from.Key: to.Key, from.CA: to.CA} {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		write(t, target, string(text))
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		files          tlsfiles.Files
		client, server bool
	}{
		{tlsfiles.Files{}, true, true},
		{tlsfiles.Files{Cert: "c", Key: "k"}, true, true},
		{tlsfiles.Files{Cert: "c", Key: "k", CA: "a"}, true, true},
		{tlsfiles.Files{CA: "a"}, true, false},
		{tlsfiles.Files{Cert: "c"}, false, false},
		{tlsfiles.Files{Key: "k", CA: "a"}, false, false},
	} {
		if client, server := test.files.Validate() == nil, test.files.ValidateServer() == nil; client != test.client || server != test.server {
			t.Errorf("%+v is valid for a client: %t, a server: %t; want %t, %t", test.files, client, server, test.client, test.server)
		}
	}
}

// TestLoadErrors checks that an error names the file and what is wrong with it.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	now := time.Now()
	for name, test := range map[string]struct {
		files tlsfiles.Files
		spoil func(t *testing.T, f tlsfiles.Files)
		want  string
	}{
		"no certificate": {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) { os.Remove(f.Cert) }, "read TLS certificate: open "},
		"no key":         {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) { os.Remove(f.Key) }, "read TLS key: open "},
		"no authorities": {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) { os.Remove(f.CA) }, "read certificate authorities: open "},
		"empty":          {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) { write(t, f.Cert, "") }, "failed to find any PEM data"},
		"another's key": {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) {
			copyFiles(t, tlsfiles.Files{Cert: f.Cert, Key: f.CA, CA: f.CA}, authority.Issue(t))
		}, "private key does not match public key"},
		"encrypted key": {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) { write(t, f.Key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n") }, "is encrypted: store it without a passphrase"},
		"expired":       {authority.Between(t, now.Add(-2*time.Hour), now.Add(-time.Hour)), nil, "has expired on "},
		"of the future": {authority.Between(t, now.Add(time.Hour), now.Add(2*time.Hour)), nil, "is not valid before "},
		"no authority":  {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) { write(t, f.CA, "some text") }, "no certificate in PEM form"},
		"broken": {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) {
			write(t, f.CA, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}, "ca.crt: x509: malformed certificate"},
		"of unusual size": {authority.Issue(t), func(t *testing.T, f tlsfiles.Files) { write(t, f.CA, strings.Repeat("x", 5<<20)) }, "is larger than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.spoil != nil {
				test.spoil(t, test.files)
			}
			err := tlsfiles.New(test.files, nil).Load()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("Load = %v, want an error with %q", err, test.want)
			}
			if dir := filepath.Dir(test.files.Cert); !strings.Contains(err.Error(), dir) {
				t.Errorf("%v does not name the file in %s", err, dir)
			}
			if strings.HasPrefix(name, "no ") && strings.Contains(test.want, "open") && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is not fs.ErrNotExist", err)
			}
		})
	}
}

// serial is the serial number of the certificate that a server shows now.
func serial(t *testing.T, r *tlsfiles.Reloader) string {
	t.Helper()
	config, err := r.Server().GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	return config.Certificates[0].Leaf.SerialNumber.String()
}

// TestReload replaces files while Run looks at them: a valid pair is used within seconds, anything else is not, and is
// logged once if it stays.
func TestReload(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	files, renewed := authority.Issue(t), authority.Issue(t)
	expired := authority.Between(t, time.Unix(0, 0), time.Unix(3600, 0))
	synctest.Test(t, func(t *testing.T) {
		// The virtual clock starts in 2000; the certificates are valid from now on.
		time.Sleep(time.Until(realNow))
		var log testutil.Log
		r := tlsfiles.New(files, slog.New(slog.NewTextHandler(&log, nil)))
		if err := r.Load(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); r.Run(ctx) }()
		defer func() { cancel(); <-ended }()

		first := serial(t, r)
		const complaint = "changed TLS files cannot be used"
		for _, test := range []struct { // in this order: a missing key stays missing
			name  string
			spoil func()
		}{
			{"another's key", func() {
				copyFiles(t, tlsfiles.Files{Cert: files.Cert, Key: filepath.Join(t.TempDir(), "key"), CA: files.CA}, renewed)
			}},
			{"expired", func() { copyFiles(t, files, expired) }},
			{"missing", func() { os.Remove(files.Key) }},
		} {
			before := strings.Count(log.String(), complaint)
			test.spoil()
			time.Sleep(1900 * time.Millisecond) // at most one look
			if strings.Count(log.String(), complaint) > before {
				t.Errorf("%s: logged at the first look: files may be half written", test.name)
			}
			time.Sleep(time.Minute)
			if n := strings.Count(log.String(), complaint) - before; n != 1 {
				t.Errorf("%s: logged %d times, want once", test.name, n)
			}
			if serial(t, r) != first {
				t.Fatalf("%s: the certificate in use has changed", test.name)
			}
		}
		copyFiles(t, files, renewed)
		time.Sleep(3 * time.Second)
		if serial(t, r) == first || strings.Count(log.String(), "TLS files reloaded") != 1 {
			t.Error("a renewed certificate is not used")
		}
		time.Sleep(2 * time.Hour)
		if n := strings.Count(log.String(), "has expired: clients refuse it"); n != 1 {
			t.Errorf("that the certificate in use has expired is logged %d times, want once", n)
		}
	})
}

// realNow is outside the bubble of synctest.
var realNow = time.Now()

// TestRunWithoutFiles checks that there is nothing to look at.
func TestRunWithoutFiles(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := tlsfiles.New(tlsfiles.Files{}, nil)
	if err := r.Load(); err != nil {
		t.Fatal(err)
	}
	r.Run(ctx)
	if c := r.Client("name"); c.RootCAs != nil || c.ServerName != "name" || len(c.Certificates) != 0 {
		t.Errorf("client without files: %+v, want the system's authorities", c)
	}
}

// httpsServer serves with the files, and returns its URL and address.
func httpsServer(t *testing.T, files tlsfiles.Files) (url, address string) {
	t.Helper()
	r := tlsfiles.New(files, nil)
	if err := r.Load(); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.Listener = tls.NewListener(s.Listener, r.Server())
	s.Start()
	t.Cleanup(s.Close)
	return "https://" + s.Listener.Addr().String(), s.Listener.Addr().String()
}

// TestClients checks which servers clients trust, and which clients servers trust.
func TestClients(t *testing.T) {
	t.Parallel()
	ours, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	server, client, stranger := ours.Issue(t), ours.Issue(t), other.Issue(t)
	for name, test := range map[string]struct {
		server, client tlsfiles.Files
		want           string // in the error; empty if there is none
	}{
		"trusted":             {tlsfiles.Files{Cert: server.Cert, Key: server.Key}, tlsfiles.Files{CA: client.CA}, ""},
		"not trusted":         {tlsfiles.Files{Cert: server.Cert, Key: server.Key}, tlsfiles.Files{CA: stranger.CA}, "unknown authority"},
		"not by the system":   {tlsfiles.Files{Cert: server.Cert, Key: server.Key}, tlsfiles.Files{}, "unknown authority"},
		"mutual":              {server, client, ""},
		"without certificate": {server, tlsfiles.Files{CA: client.CA}, "certificate required"},
		"stranger":            {server, tlsfiles.Files{Cert: stranger.Cert, Key: stranger.Key, CA: client.CA}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := httpsServer(t, test.server)
			c, err := tlsfiles.HTTPClient(test.client, false)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Get(url)
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("GET = %v, want %q", err, test.want)
			}
		})
	}
}

// TestDial checks the name that a certificate must have, and that new connections use the newest files.
func TestDial(t *testing.T) {
	t.Parallel()
	ours, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	_, address := httpsServer(t, withoutCA(ours.Issue(t, "replicas.example")))
	trust := ours.Issue(t)
	r := tlsfiles.New(tlsfiles.Files{CA: trust.CA}, nil)
	if err := r.Load(); err != nil {
		t.Fatal(err)
	}
	var plain net.Dialer
	dial := func(name func(string) string) error {
		c, err := r.Dial(plain.DialContext, name)(t.Context(), "tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial(nil); err != nil {
		t.Errorf("by address: %v", err)
	}
	if err := dial(func(string) string { return "replicas.example" }); err != nil {
		t.Errorf("by name: %v", err)
	}
	if err := dial(func(string) string { return "another.example" }); err == nil || !strings.Contains(err.Error(), "another.example") {
		t.Errorf("by another name: %v, want an error", err)
	}
	write(t, trust.CA, string(other.PEM()))
	if err := r.Load(); err != nil {
		t.Fatal(err)
	}
	if err := dial(nil); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("after a change of authorities: %v, want an error", err)
	}
	if _, err := r.Dial(plain.DialContext, nil)(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
		t.Error("dialing nobody: no error")
	}
}

func withoutCA(f tlsfiles.Files) tlsfiles.Files { f.CA = ""; return f }

// TestBursts checks that data of all sizes arrives whole, also from several writers, and that a large Write takes few
// writes to the network.
func TestBursts(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	certs := tlsfiles.New(withoutCA(authority.Issue(t)), nil)
	if err := certs.Load(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan [sha256.Size]byte)
	go func() {
		defer close(received)
		c, err := l.Accept()
		if err != nil {
			return
		}
		secure := tls.Server(c, certs.Server())
		defer secure.Close()
		for {
			var size uint32
			if binary.Read(secure, binary.BigEndian, &size) != nil {
				return
			}
			data := make([]byte, size)
			if _, err := io.ReadFull(secure, data); err != nil {
				return
			}
			received <- sha256.Sum256(data)
		}
	}()
	own := authority.Issue(t)
	r := tlsfiles.New(tlsfiles.Files{CA: own.CA}, nil)
	if err := r.Load(); err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var plain net.Dialer
		c, err := plain.DialContext(ctx, network, address)
		return counted{c, &writes}, err
	}
	c, err := r.Dial(dial, nil)(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	message := func(n int) ([]byte, [sha256.Size]byte) {
		data := make([]byte, n)
		_, _ = rand.Read(data)
		return append(binary.BigEndian.AppendUint32(nil, uint32(n)), data...), sha256.Sum256(data)
	}
	for _, n := range []int{0, 1, 16 << 10, 16<<10 + 1, 100 << 10, 300 << 10, 2 << 20} {
		data, want := message(n)
		before := writes.Load()
		if m, err := c.Write(data); m != len(data) || err != nil {
			t.Fatalf("Write of %d bytes = %d, %v", len(data), m, err)
		}
		if got := writes.Load() - before; got > int64(2+n/(200<<10)) && n != 16<<10 {
			t.Errorf("%d bytes took %d writes", n, got)
		} else if got < int64(n/(256<<10)) {
			t.Errorf("%d bytes took %d writes: they were all collected", n, got)
		}
		if <-received != want {
			t.Errorf("%d bytes arrived differently", n)
		}
	}
	sent := make(map[[sha256.Size]byte]bool)
	var writers sync.WaitGroup
	for range 20 {
		data, sum := message(50 << 10)
		sent[sum] = true
		writers.Go(func() { _, _ = c.Write(data) })
	}
	for range 20 {
		if !sent[<-received] {
			t.Error("concurrent writes are mixed up")
		}
	}
	writers.Wait()
	_ = c.(interface{ NetConn() net.Conn }).NetConn().Close()
	if _, err := c.Write(make([]byte, 100<<10)); err == nil {
		t.Error("Write to a closed connection: no error")
	}
	c.Close()
	<-received
}

// counted counts writes to the network.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}
