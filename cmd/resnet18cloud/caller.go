package main

import (
	"fmt"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// callerFlags are what a command needs to send requests to a server with TLS and keys. They are read once. A command
// embeds them with envprefix, and sets needs to what the token's key must be able to do.
type callerFlags struct {
	TokenFile string `help:"File with the token to send as 'Authorization: Bearer', for servers that run with --keys. Its key needs ${needs}." type:"path" placeholder:"FILE" env:"TOKEN_FILE"`
	CA        string `name:"ca" help:"PEM file of the certificate authorities that a server with https:// is trusted by. Default: those of the system." type:"existingfile" placeholder:"FILE" env:"CA"`
	Cert      string `name:"cert" help:"PEM file of the certificate to show to a server with --tls-client-ca." type:"existingfile" placeholder:"FILE" env:"CERT"`
	Key       string `name:"key" help:"PEM file of that certificate's private key." type:"existingfile" placeholder:"FILE" env:"KEY"`
}

// client returns a client with the certificates. It opens a connection for each request if keepAlive is false.
func (f callerFlags) client(keepAlive bool) (*http.Client, error) {
	c, err := tlsfiles.HTTPClient(tlsfiles.Files{Cert: f.Cert, Key: f.Key, CA: f.CA}, keepAlive)
	if err != nil {
		return nil, fmt.Errorf("--ca, --cert, --key: %w", err)
	}
	return c, nil
}

// authorize adds the token, if there is one.
func (f callerFlags) authorize(h http.Header) error {
	if f.TokenFile == "" {
		return nil
	}
	token, err := access.ReadToken(f.TokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	access.SetBearer(h, token)
	return nil
}
