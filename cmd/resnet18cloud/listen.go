package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// serverFlags say who may reach the HTTP server of a command, and how.
type serverFlags struct {
	TLSCert     string   `name:"tls-cert" help:"PEM file of the server's certificate, followed by intermediate ones: serve HTTPS instead of HTTP. It and --tls-key are read again when they change." type:"existingfile" placeholder:"FILE" env:"RESNET18_TLS_CERT"`
	TLSKey      string   `name:"tls-key" help:"PEM file of the certificate's private key." type:"existingfile" placeholder:"FILE" env:"RESNET18_TLS_KEY"`
	TLSClientCA string   `name:"tls-client-ca" help:"PEM file of certificate authorities: serve only clients with a certificate that one of them has signed." type:"existingfile" placeholder:"FILE" env:"RESNET18_TLS_CLIENT_CA"`
	AdminAddr   string   `help:"TCP address of a server for operators, over plain HTTP: /metrics, /debug/pprof, /health, and what changes or shows inner state. --addr then serves only /health of these." type:"listen" placeholder:"ADDR" env:"RESNET18_ADMIN_ADDR"`
	AllowHost   []string `help:"Host names, separated by commas, that requests to a loopback address may name besides localhost, such as that of a proxy on this machine; * means any." placeholder:"NAME" env:"RESNET18_ALLOW_HOST"`
	CORSOrigin  []string `name:"cors-origin" help:"Origins of web pages that may use the API, separated by commas, such as https://example.com; * means any. Default: only the server's own page." placeholder:"ORIGIN" env:"RESNET18_CORS_ORIGIN"`
}

// serverEnv are the variables of serverFlags. The replicas of up, which are on the loopback interface, must not get
// those of up itself.
var serverEnv = []string{"RESNET18_TLS_CERT", "RESNET18_TLS_KEY", "RESNET18_TLS_CLIENT_CA", "RESNET18_ADMIN_ADDR", "RESNET18_ALLOW_HOST", "RESNET18_CORS_ORIGIN"}

// check returns an error that names the flag if one is missing or wrong.
func (f serverFlags) check() error {
	switch {
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key belong together: set both, or neither")
	case f.TLSClientCA != "" && f.TLSCert == "":
		return errors.New("--tls-client-ca requires --tls-cert and --tls-key")
	}
	if err := (httpx.Guard{Hosts: f.AllowHost}).Validate(); err != nil {
		return fmt.Errorf("--allow-host: %w", err)
	}
	if err := (httpx.Guard{Origins: f.CORSOrigin}).Validate(); err != nil {
		return fmt.Errorf("--cors-origin: %w", err)
	}
	return nil
}

// files are the files for TLS.
func (f serverFlags) files() tlsfiles.Files {
	return tlsfiles.Files{Cert: f.TLSCert, Key: f.TLSKey, CA: f.TLSClientCA}
}

// webGuard says which requests of browsers are served.
func (f serverFlags) webGuard() httpx.Guard {
	return httpx.Guard{Hosts: f.AllowHost, Origins: f.CORSOrigin}
}

// warnIfOpen logs one line if others who reach the address may use the server, or read what clients send. keys reports whether clients need a key.
func (f serverFlags) warnIfOpen(log *slog.Logger, addr string, keys bool) {
	if !exposed(addr) {
		return
	}
	switch {
	case !keys && f.TLSCert == "":
		log.Warn("open to everyone who reaches this address: set --keys, and --tls-cert with --tls-key, or listen on 127.0.0.1", "addr", addr)
	case !keys && f.TLSClientCA == "":
		log.Warn("open to everyone who reaches this address: TLS without --tls-client-ca encrypts, but admits all clients; set --keys", "addr", addr)
	case f.TLSCert == "":
		log.Warn("tokens and images can be read on the way to this address: set --tls-cert with --tls-key, or let only a proxy with TLS reach it", "addr", addr)
	}
}

// exposed reports whether other machines may reach a TCP address to listen on.
func exposed(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr != "-" // no server
	}
	if strings.EqualFold(host, "localhost") {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

// clientTLS are files for a client of servers with TLS. who names the servers in errors.
func clientTLS(who, ca, cert, key string) (tlsfiles.Files, error) {
	if (cert == "") != (key == "") {
		return tlsfiles.Files{}, fmt.Errorf("--%s-cert and --%s-key belong together: set both, or neither", who, who)
	}
	return tlsfiles.Files{Cert: cert, Key: key, CA: ca}, nil
}
