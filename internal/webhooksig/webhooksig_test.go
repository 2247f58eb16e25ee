package webhooksig_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/webhooksig"
)

// TestVector checks the signature of a message against one that was computed with Python's hmac.
func TestVector(t *testing.T) {
	t.Parallel()
	secret, err := webhooksig.Parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	secret.Sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got, want := h.Get("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	secret, other := webhooksig.Secret(strings.Repeat("a", 32)), webhooksig.Secret(strings.Repeat("b", 32))
	if again, err := webhooksig.Parse(secret.String()); err != nil || string(again) != string(secret) {
		t.Fatalf("Parse(%s) = %v, %v", secret, again, err)
	}
	at := time.Unix(1_800_000_000, 0)
	for name, test := range map[string]struct {
		change func(h http.Header)
		body   string
		now    time.Time
		secret webhooksig.Secret
		ok     bool
	}{
		"right":             {nil, "body", at, secret, true},
		"late":              {nil, "body", at.Add(5 * time.Minute), secret, true},
		"too late":          {nil, "body", at.Add(5*time.Minute + time.Second), secret, false},
		"from the future":   {nil, "body", at.Add(-6 * time.Minute), secret, false},
		"other body":        {nil, "Body", at, secret, false},
		"other secret":      {nil, "body", at, other, false},
		"other id":          {func(h http.Header) { h.Set("webhook-id", "other") }, "body", at, secret, false},
		"other time":        {func(h http.Header) { h.Set("webhook-timestamp", "1800000001") }, "body", at, secret, false},
		"no time":           {func(h http.Header) { h.Set("webhook-timestamp", "now") }, "body", at, secret, false},
		"no signature":      {func(h http.Header) { h.Del("webhook-signature") }, "body", at, secret, false},
		"empty signature":   {func(h http.Header) { h.Set("webhook-signature", "v1,") }, "body", at, secret, false},
		"another version":   {func(h http.Header) { h.Set("webhook-signature", "v2"+h.Get("webhook-signature")[2:]) }, "body", at, secret, false},
		"several":           {func(h http.Header) { h.Set("webhook-signature", "v1,AAAA v2,x "+h.Get("webhook-signature")) }, "body", at, secret, true},
		"only wrong ones":   {func(h http.Header) { h.Set("webhook-signature", "v1,AAAA v1,BBBB") }, "body", at, secret, false},
		"shifted separator": {func(h http.Header) { h.Set("webhook-id", "i"); h.Set("webhook-timestamp", "d.1800000000") }, "body", at, secret, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			secret.Sign(h, "id", at, []byte("body"))
			if test.change != nil {
				test.change(h)
			}
			if err := test.secret.Verify(h, test.now, []byte(test.body)); (err == nil) != test.ok || err != nil && !errors.Is(err, webhooksig.ErrSignature) {
				t.Errorf("Verify = %v, want ok %t", err, test.ok)
			}
		})
	}
	for _, text := range []string{"", "whsec_", "whsec_AAAA", "whsec_*", strings.TrimPrefix(secret.String(), "whsec_")} {
		if _, err := webhooksig.Parse(text); err == nil {
			t.Errorf("Parse(%q) succeeds", text)
		}
	}
}
