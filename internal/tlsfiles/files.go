// Package tlsfiles reads certificates for TLS from PEM files, and reads them again when they change: a renewed
// certificate takes effect without a restart. Servers and clients of this module use it. Both require TLS 1.2.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/reread"
)

// Files names PEM files. The zero value means a server without TLS, or a client that trusts the authorities of the
// system.
type Files struct {
	// Cert is the file of the certificate, followed by intermediate certificates, and Key the file of its private
	// key. Set both or neither. They identify a server, or a client to a server that demands a certificate.
	Cert, Key string
	// CA is a file of certificate authorities. A server demands a client certificate that one of them has signed; a
	// client trusts only servers whose certificate one of them has signed.
	CA string
}

// Enabled reports whether a server with these files serves TLS.
func (f Files) Enabled() bool { return f.Cert != "" }

// Validate returns an error if one of certificate and key is missing.
func (f Files) Validate() error {
	if (f.Cert == "") != (f.Key == "") {
		return errors.New("set both a TLS certificate and its key, or neither")
	}
	return nil
}

// ValidateServer is Validate for a server, which cannot demand client certificates without having one.
func (f Files) ValidateServer() error {
	if f.CA != "" && f.Cert == "" {
		return errors.New("client certificates can be demanded only with a TLS certificate and key of the server")
	}
	return f.Validate()
}

// content is what the files contain. It is comparable, to notice changes.
type content struct{ cert, key, ca string }

// read reads the files.
func (f Files) read() (c content, err error) {
	for _, one := range []struct {
		what, name string
		to         *string
	}{{"TLS certificate", f.Cert, &c.cert}, {"TLS key", f.Key, &c.key}, {"certificate authorities", f.CA, &c.ca}} {
		if one.name == "" {
			continue
		}
		data, err := reread.File(one.name)
		if err != nil {
			return content{}, fmt.Errorf("read %s: %w", one.what, err)
		}
		*one.to = string(data)
	}
	return c, nil
}

// material is what the files mean. Its parts must not be changed.
type material struct {
	cert *tls.Certificate // nil if there is none
	ca   *x509.CertPool   // nil if there are none
}

// parse checks the content of the files at the time now.
func (f Files) parse(c content, now time.Time) (*material, error) {
	m := &material{}
	if f.Cert != "" {
		cert, err := f.pair(c, now)
		if err != nil {
			return nil, err
		}
		m.cert = cert
	}
	if f.CA != "" {
		pool, err := authorities(c.ca)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities in %s: %w", f.CA, err)
		}
		m.ca = pool
	}
	return m, nil
}

// pair parses certificate and key. A certificate that no client would accept is an error: it has expired, or is not
// valid yet.
func (f Files) pair(c content, now time.Time) (*tls.Certificate, error) {
	if strings.Contains(c.key, "ENCRYPTED") {
		return nil, fmt.Errorf("TLS key %s is encrypted: store it without a passphrase (openssl pkey -in KEY -out PLAIN)", f.Key)
	}
	cert, err := tls.X509KeyPair([]byte(c.cert), []byte(c.key))
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	switch leaf := cert.Leaf; {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("TLS certificate %s has expired on %s: renew it", f.Cert, leaf.NotAfter.UTC().Format(time.DateTime))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("TLS certificate %s is not valid before %s: check the clock of this machine", f.Cert, leaf.NotBefore.UTC().Format(time.DateTime))
	}
	return &cert, nil
}

// authorities parses certificates. Unlike x509.CertPool.AppendCertsFromPEM it does not skip broken ones.
func authorities(text string) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(cert)
		found = true
	}
	if !found {
		return nil, errors.New("no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
	}
	return pool, nil
}
