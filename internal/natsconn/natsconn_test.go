package natsconn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.Clock()) }

func TestInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func() *natsconn.Conn {
		t.Helper()
		c, err := natsconn.Open(t.Context(), natsconn.Config{DataDir: dir, SyncAlways: true})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	if !c.Exclusive() || !c.Connected() {
		t.Errorf("Exclusive = %t, Connected = %t, want both", c.Exclusive(), c.Connected())
	}
	_, err := c.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err == nil {
		_, err = c.JetStream().Publish(t.Context(), "s", []byte("kept"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := natsconn.Open(t.Context(), natsconn.Config{DataDir: dir}); err == nil {
		t.Error("a second server on the same folder was started")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	c = open()
	defer func() { _ = c.Close() }()
	s, err := c.JetStream().Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := s.GetMsg(t.Context(), 1); err != nil || string(msg.Data) != "kept" {
		t.Errorf("after reopening: %v, %v", msg, err)
	}
}

func TestTemporaryFolderIsRemoved(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c, err := natsconn.Open(t.Context(), natsconn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
}

// certificate creates a self-signed certificate for 127.0.0.1, as two PEM files.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "EC PRIVATE KEY", private)
}

// outside starts a server that is reached over TCP, like a cluster.
func outside(t *testing.T, o server.Options) (url string) {
	t.Helper()
	o.JetStream, o.StoreDir = true, t.TempDir()
	return natstest.Serve(t, o).ClientURL()
}

// openOutside connects, and waits until JetStream responds.
func openOutside(t *testing.T, cfg natsconn.Config) *natsconn.Conn {
	t.Helper()
	c, err := natsconn.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Await(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOutsideWithTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(ca)
	url := outside(t, server.Options{MaxPayload: 12 << 20, TLS: true, TLSVerify: true, TLSTimeout: 5, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}})

	c := openOutside(t, natsconn.Config{URL: url, CAFile: cert, CertFile: cert, KeyFile: key})
	if c.Exclusive() {
		t.Error("an outside server is said to be ours alone")
	}
	for name, cfg := range map[string]natsconn.Config{
		"stranger":       {URL: url, CertFile: cert, KeyFile: key},
		"no certificate": {URL: url, CAFile: cert},
	} {
		c, err := natsconn.Open(t.Context(), cfg)
		if err != nil {
			continue
		}
		if c.Connected() {
			t.Errorf("%s: connected", name)
		}
		_ = c.Close()
	}
}

// issued creates an operator with one account that may use JetStream, the server options that trust it, and the
// credentials file of a user of that account, as nsc would.
func issued(t *testing.T) (o server.Options, credsFile string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	operatorKey, err := nkeys.CreateOperator()
	must(err)
	accountKey, err := nkeys.CreateAccount()
	must(err)
	systemKey, err := nkeys.CreateAccount()
	must(err)
	userKey, err := nkeys.CreateUser()
	must(err)
	public := func(k nkeys.KeyPair) string {
		t.Helper()
		p, err := k.PublicKey()
		must(err)
		return p
	}
	operator := jwt.NewOperatorClaims(public(operatorKey))
	account := jwt.NewAccountClaims(public(accountKey))
	account.Limits.DiskStorage, account.Limits.MemoryStorage = -1, -1
	resolver := &server.MemAccResolver{}
	system := jwt.NewAccountClaims(public(systemKey)) // required by JetStream
	for _, a := range []*jwt.AccountClaims{account, system} {
		token, err := a.Encode(operatorKey)
		must(err)
		must(resolver.Store(a.Subject, token))
	}
	userToken, err := jwt.NewUserClaims(public(userKey)).Encode(accountKey)
	must(err)
	seed, err := userKey.Seed()
	must(err)
	creds, err := jwt.FormatUserConfig(userToken, seed)
	must(err)
	credsFile = filepath.Join(t.TempDir(), "user.creds")
	must(os.WriteFile(credsFile, creds, 0o600))
	return server.Options{MaxPayload: 12 << 20, TrustedOperators: []*jwt.OperatorClaims{operator}, AccountResolver: resolver,
		SystemAccount: system.Subject}, credsFile
}

func TestOutsideWithCredentials(t *testing.T) {
	t.Parallel()
	options, creds := issued(t)
	url := outside(t, options)
	openOutside(t, natsconn.Config{URL: url, Creds: creds})
	_, foreign := issued(t)
	for name, creds := range map[string]string{"none": "", "of another operator": foreign} {
		if c, err := natsconn.Open(t.Context(), natsconn.Config{URL: url, Creds: creds}); err == nil {
			t.Errorf("credentials %s: connected", name)
			_ = c.Close()
		}
	}
}

func TestSettingsThatTimeDoesNotMend(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options server.Options
		say     string
	}{
		"small payload": {server.Options{}, "raise max_payload"},
		"password":      {server.Options{MaxPayload: 12 << 20, Username: "u", Password: "p"}, "Authorization"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := natsconn.Open(t.Context(), natsconn.Config{URL: outside(t, test.options)})
			if err == nil {
				err = c.Await(t.Context(), nil)
				_ = c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.say) {
				t.Errorf("Open and Await: %v, want something about %q", err, test.say)
			}
		})
	}
	for name, cfg := range map[string]natsconn.Config{
		"missing credentials file":  {URL: "nats://127.0.0.1:1", Creds: "/nonexistent"},
		"a URL of another protocol": {URL: "http://127.0.0.1:1"},
		"no host":                   {URL: "nats://"},
	} {
		if c, err := natsconn.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: Open succeeded", name)
			_ = c.Close()
		}
	}
}

// TestServerComesLater checks that the servers may start after the client, and that the client reports what it waits
// for.
func TestServerComesLater(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	c, err := natsconn.Open(t.Context(), natsconn.Config{URL: "nats://user:secret@" + addr.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if c.Connected() || c.Problem() == nil {
		t.Errorf("without a server: Connected = %t, Problem = %v", c.Connected(), c.Problem())
	}
	waits := make(chan error, 1)
	awaited := make(chan error, 1)
	go func() {
		awaited <- c.Await(t.Context(), func(err error) {
			select {
			case waits <- err:
			default:
			}
		})
	}()
	if err := <-waits; !strings.Contains(err.Error(), addr.String()) || strings.Contains(err.Error(), "secret") {
		t.Errorf("while waiting: %v, want the address, and no password", err)
	}
	natstest.Serve(t, server.Options{Port: addr.Port, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 12 << 20})
	if err := <-awaited; err != nil {
		t.Errorf("Await: %v", err)
	}
	if err := c.Problem(); err != nil {
		t.Errorf("Problem = %v while connected", err)
	}
}

// TestClosedForGood checks that a connection closed permanently by a protocol error is replaced.
func TestClosedForGood(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) *natsconn.Conn{
		"inside": natstestOpen,
		"outside": func(t *testing.T) *natsconn.Conn {
			return openOutside(t, natsconn.Config{URL: outside(t, server.Options{MaxPayload: 12 << 20})})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			first := c.JetStream()
			// The server allows 4096 bytes for a control line.
			_ = first.Conn().Publish(strings.Repeat("a", 5000), nil)
			for first.Conn().IsConnected() {
				time.Sleep(time.Millisecond) // polls for the server's response
			}
			if err := c.Await(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if c.JetStream() == first {
				t.Error("the connection that was closed is still handed out")
			}
		})
	}
}

func natstestOpen(t *testing.T) *natsconn.Conn { return natstest.Open(t) }

// TestRestart checks that the embedded server restarts with its files, and with an empty folder if they are gone, and
// that the connection is re-established.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c, err := natsconn.Open(t.Context(), natsconn.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.JetStream().Publish(t.Context(), "s", []byte("after a restart")); err != nil {
		t.Errorf("Publish after a restart: %v", err)
	}
	if err := c.Stopped(); err != nil {
		t.Errorf("Stopped = %v while it works", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Stopped(); err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("Stopped = %v, want the folder's removal", err)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Stopped(); err != nil {
		t.Errorf("Stopped = %v after a restart", err)
	}
	if _, err := c.JetStream().Stream(t.Context(), "S"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("Stream after the folder was removed: %v, want ErrStreamNotFound", err)
	}
	if _, err := natsconn.Open(t.Context(), natsconn.Config{DataDir: dir}); err == nil {
		t.Error("a second server on the new folder was started")
	}

	// The folder goes away and comes back, as a volume does that is mounted again.
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err == nil {
		t.Error("Restart succeeded where the data folder is a file")
	}
	if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := natsconn.Open(t.Context(), natsconn.Config{DataDir: dir}); err == nil {
		t.Error("a second server on the folder that came back was started")
	}
}

// TestRestartThatFails checks that a failed restart reports the reason and can be repeated.
func TestRestartThatFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c, err := natsconn.Open(t.Context(), natsconn.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Restart where the folder cannot be made: %v, want an error with its name", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Errorf("Restart once it can: %v", err)
	}
}

// TestRespondingServers counts real servers.
func TestRespondingServers(t *testing.T) {
	t.Parallel()
	a, b := outside(t, server.Options{MaxPayload: 12 << 20}), outside(t, server.Options{MaxPayload: 12 << 20})
	c := openOutside(t, natsconn.Config{URL: strings.Join([]string{a, b, a, "nats://127.0.0.1:1"}, ",")})
	if got := c.RespondingServers(t.Context(), 2); got != 2 {
		t.Errorf("RespondingServers = %d, want the 2 that are there", got)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if got := c.RespondingServers(short, 3); got != 2 || short.Err() == nil {
		t.Errorf("RespondingServers = %d, and %v of the time; want the 2 that are there after all of it", got, short.Err())
	}
}

// TestRespondingServersBehindWebSocket checks that servers that cannot greet are not taken for lost ones.
func TestRespondingServersBehindWebSocket(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"ws://127.0.0.1:1", "wss://127.0.0.1:1"} {
		c, err := natsconn.Open(t.Context(), natsconn.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := c.RespondingServers(ctx, 2); got != -1 {
			t.Errorf("RespondingServers of %s = %d, want -1", url, got)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for urls, want := range map[string]string{
		"nats://a:4222":                      "nats://a:4222",
		"nats://user:pass@a:4222":            "nats://xxxxx@a:4222",
		"tls://token@a, nats://u:p@p@b:4222": "tls://xxxxx@a,nats://xxxxx@b:4222",
		"u:p@a":                              "nats://xxxxx@a",
		"":                                   "this process",
	} {
		if got := natsconn.Redact(urls); got != want {
			t.Errorf("Redact(%q) = %q, want %q", urls, got, want)
		}
	}
	_, err := natsconn.Open(t.Context(), natsconn.Config{URL: "nats://u:p%zz@a:4222"})
	if err == nil || strings.Contains(err.Error(), "p%zz") {
		t.Errorf("Open of a malformed URL: %v, want an error without its password", err)
	}
}

func TestLookAtDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := natsconn.StatDisk(dir)
	if err != nil || d.Used != 1000 || d.Free <= 0 {
		t.Errorf("StatDisk = %+v, %v, want 1000 bytes used and some free", d, err)
	}
	later, err := natsconn.StatDisk(filepath.Join(dir, "not", "there", "yet"))
	if err != nil || later.Used != 0 || later.Free <= 0 {
		t.Errorf("StatDisk of a folder to be made = %+v, %v", later, err)
	}
}
