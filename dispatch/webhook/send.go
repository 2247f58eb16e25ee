package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/webhooksig"
)

const (
	// Timeout limits one attempt.
	Timeout = 10 * time.Second
	// maxAnswer is how much of a receiver's answer is read, so that its connection can be used again.
	maxAnswer = 16 << 10
)

// Sender sends webhooks. It follows no redirects, uses no proxy, and connects only to permitted addresses: they are checked
// when the connection is made, so a name that changes its address in between leads nowhere else. Create it with
// [NewSender]; it is safe for concurrent use.
type Sender struct {
	http *http.Client
	name string
}

// NewSender returns a Sender. name is the program's, for the header User-Agent.
func NewSender(allow Allow, name string) *Sender {
	dialer := &net.Dialer{Timeout: Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err != nil || !allow.permits(at.Addr()) {
			return errAddress
		}
		return nil
	}}
	return &Sender{name: name, http: &http.Client{
		Timeout:       Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: Timeout, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxIdleConns: 32, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 32 << 10,
		},
	}}
}

// Close closes idle connections.
func (s *Sender) Close() { s.http.CloseIdleConnections() }

// errAddress means that a name leads to an address that is not permitted.
var errAddress = errors.New("address is not allowed")

// Outcome is what became of an attempt.
type Outcome struct {
	Delivered bool
	Gone      bool   // the receiver wants no more (410)
	Problem   string // why it was not delivered: safe to show to the client, and the same whatever is at an address
}

// Send makes one attempt. Any answer of 2xx is a delivery.
func (s *Sender) Send(ctx context.Context, url string, secret webhooksig.Secret, id string, body []byte) Outcome {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return Outcome{Problem: "not a URL"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", s.name)
	secret.Sign(request.Header, id, time.Now(), body)
	response, err := s.http.Do(request)
	if err != nil {
		return Outcome{Problem: problem(err)}
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // the status says all
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		return Outcome{Delivered: true}
	}
	return Outcome{Gone: response.StatusCode == http.StatusGone, Problem: "HTTP " + strconv.Itoa(response.StatusCode)}
}

// problem returns the reason for an error without details of the network.
func problem(err error) string {
	if errors.Is(err, errAddress) {
		return errAddress.Error()
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return "certificate is not trusted"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "no such host"
	}
	if failed, ok := errors.AsType[net.Error](err); ok && failed.Timeout() {
		return "no answer in time"
	}
	return "connection failed"
}

// pauses are those after each attempt but the last.
var pauses = [...]time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 8 * time.Minute, 20 * time.Minute}

// Attempts is how often a delivery is tried: over half an hour.
const Attempts = len(pauses) + 1

// Next returns the pause after a number of attempts that failed, or false if there is no other.
func Next(attempts int) (pause time.Duration, ok bool) {
	if attempts < 1 || attempts > len(pauses) {
		return 0, false
	}
	return pauses[attempts-1], true
}
