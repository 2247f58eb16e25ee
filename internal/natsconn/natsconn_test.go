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

// certificate makes a certificate for 127.0.0.1 that vouches for itself, as two PEM files.
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

// outside starts a server that is reached over TCP, as a cluster would be.
func outside(t *testing.T, o server.Options) (url string) {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.JetStream, o.StoreDir = "127.0.0.1", -1, true, true, t.TempDir()
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS server is not ready")
	}
	return s.ClientURL()
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

	c, err := natsconn.Open(t.Context(), natsconn.Config{URL: url, CAFile: cert, CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	if c.Exclusive() {
		t.Error("an outside server is said to be ours alone")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for name, cfg := range map[string]natsconn.Config{
		"stranger":       {URL: url, CertFile: cert, KeyFile: key},
		"no certificate": {URL: url, CAFile: cert},
	} {
		if c, err := natsconn.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: connected", name)
			_ = c.Close()
		}
	}
}

// issued makes an operator with one account that may use JetStream, the server options that trust it, and the
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
	system := jwt.NewAccountClaims(public(systemKey)) // which JetStream demands
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
	c, err := natsconn.Open(t.Context(), natsconn.Config{URL: url, Creds: creds})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_, foreign := issued(t)
	for name, creds := range map[string]string{"none": "", "of another operator": foreign} {
		if c, err := natsconn.Open(t.Context(), natsconn.Config{URL: url, Creds: creds}); err == nil {
			t.Errorf("credentials %s: connected", name)
			_ = c.Close()
		}
	}
}

func TestOutsideErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options server.Options
		say     string
	}{
		"small payload": {server.Options{}, "set max_payload"},
		"password":      {server.Options{MaxPayload: 12 << 20, Username: "u", Password: "p"}, "Authorization"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := natsconn.Open(t.Context(), natsconn.Config{URL: outside(t, test.options)})
			if err == nil || !strings.Contains(err.Error(), test.say) {
				t.Errorf("Open: %v, want something about %q", err, test.say)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := natsconn.Open(ctx, natsconn.Config{URL: "nats://127.0.0.1:1"}); err == nil {
		t.Error("Open where nobody listens succeeded")
	}
	if _, err := natsconn.Open(ctx, natsconn.Config{URL: "nats://127.0.0.1:1", Creds: "/nonexistent"}); err == nil {
		t.Error("Open without the credentials' file succeeded")
	}
}
