// Package tlstest makes certificates for tests. Only tests import it.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(tb, template)
	return a
}

// sign completes and signs a certificate with a key of its own; the authority's first one signs itself.
func (a *Authority) sign(tb testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert, key
}

// Pool returns a pool with the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Issue writes a new certificate for 127.0.0.1, ::1, localhost and the given names, its key and the authority to a new
// folder. It is valid for servers and clients.
func (a *Authority) Issue(tb testing.TB, names ...string) tlsfiles.Files {
	tb.Helper()
	return a.Between(tb, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), names...)
}

// Between is Issue with the times in which the certificate is valid.
func (a *Authority) Between(tb testing.TB, from, to time.Time, names ...string) tlsfiles.Files {
	tb.Helper()
	return a.issue(tb, from, to, append([]string{"localhost"}, names...), []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback})
}

// ForNames is Issue for the names alone.
func (a *Authority) ForNames(tb testing.TB, names ...string) tlsfiles.Files {
	tb.Helper()
	return a.issue(tb, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), names, nil)
}

func (a *Authority) issue(tb testing.TB, from, to time.Time, names []string, addresses []net.IP) tlsfiles.Files {
	tb.Helper()
	dir := tb.TempDir()
	files := tlsfiles.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
	cert, key := a.sign(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    names, IPAddresses: addresses,
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for name, text := range map[string][]byte{
		files.Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		files.Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		files.CA:   a.PEM(),
	} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return files
}
