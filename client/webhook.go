package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/webhooksig"
)

// WebhookSecret returns the secret with which the server signs this client's webhooks (GET /webhook-secret), for
// [ReadWebhook].
func (c *Client) WebhookSecret(ctx context.Context) (string, error) {
	var body struct {
		Secret string `json:"secret"`
	}
	if err := c.get(ctx, "/webhook-secret", &body); err != nil {
		return "", fmt.Errorf("webhook secret of %s: %w", c.BaseURL, err)
	}
	return body.Secret, nil
}

// ReadWebhook checks the signature of a webhook (see Options.Webhook) and returns the outcome of the request. It is an error
// if the body was not signed with the secret, or if the header's time differs from now by more than five minutes. A webhook
// may arrive more than once: the header Webhook-Id is then the same.
func ReadWebhook(secret string, h http.Header, body []byte, now time.Time) (Outcome, error) {
	var b outcomeBody
	if err := readWebhook(secret, h, body, now, &b); err != nil {
		return Outcome{}, err
	}
	return b.outcome(), nil
}

// ReadBatchWebhook is ReadWebhook for the message about a batch (see Options.BatchWebhook). It returns the outcomes of its images.
func ReadBatchWebhook(secret string, h http.Header, body []byte, now time.Time) ([]Outcome, error) {
	var b struct {
		Items []outcomeBody `json:"items"`
	}
	if err := readWebhook(secret, h, body, now, &b); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(b.Items))
	for i, item := range b.Items {
		outcomes[i] = item.outcome()
	}
	return outcomes, nil
}

// readWebhook checks the signature of a message and decodes it.
func readWebhook(secret string, h http.Header, body []byte, now time.Time, into any) error {
	s, err := webhooksig.Parse(secret)
	if err == nil {
		err = s.Verify(h, now, body)
	}
	if err != nil {
		return fmt.Errorf("read webhook: %w", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read webhook: the body is not the JSON of a dispatcher: %w", err)
	}
	return nil
}
