// Package webhooksig signs the body of a webhook, and checks a signature, as https://www.standardwebhooks.com describes: an
// HMAC-SHA-256 over "ID.TIMESTAMP.BODY". The dispatcher signs with it, and package client checks.
package webhooksig

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook.
const (
	HeaderID        = "Webhook-Id"        // equal for all deliveries of the same message
	HeaderTimestamp = "Webhook-Timestamp" // of this delivery: seconds since 1970
	HeaderSignature = "Webhook-Signature" // signatures "v1,BASE64", separated by spaces
)

// prefix begins the text of a secret.
const prefix = "whsec_"

// Tolerance is how old, or how far in the future, a delivery may be.
const Tolerance = 5 * time.Minute

// ErrSignature means that a delivery was not signed with the secret, or not recently.
var ErrSignature = errors.New("the webhook's signature is not valid")

// Secret is what sender and receiver share.
type Secret []byte

// String returns the secret as text, which [Parse] reads.
func (s Secret) String() string { return prefix + base64.StdEncoding.EncodeToString(s) }

// Parse reads the text of a secret: "whsec_" and at least 24 bytes in Base64.
func Parse(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	s, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(s) < 24 {
		return nil, errors.New("a webhook's secret is " + prefix + " and at least 24 bytes in Base64")
	}
	return s, nil
}

// Sign adds the headers of a delivery.
func (s Secret) Sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, "v1,"+base64.StdEncoding.EncodeToString(s.sum(id, timestamp, body)))
}

// Verify checks the headers of a delivery that was received at the given time. The error wraps [ErrSignature].
func (s Secret) Verify(h http.Header, now time.Time, body []byte) error {
	id, timestamp := h.Get(HeaderID), h.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %s %.40q is not a time", ErrSignature, HeaderTimestamp, timestamp)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return fmt.Errorf("%w: it was sent at another time (%s %s)", ErrSignature, HeaderTimestamp, timestamp)
	}
	want := s.sum(id, timestamp, body)
	for _, signature := range strings.Fields(h.Get(HeaderSignature)) {
		encoded, ok := strings.CutPrefix(signature, "v1,")
		if got, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}

func (s Secret) sum(id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, s)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}
