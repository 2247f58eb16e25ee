//go:build !only_replica

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxSummaryBytes limits what is read from an autoscaler. Twenty changes of a hundred bytes each are the most of it.
const maxSummaryBytes = 64 << 10

// summaryOf returns a function that asks an autoscaler for its summary.
func summaryOf(base string, asking callerFlags) (func(context.Context) (json.RawMessage, error), error) {
	if _, err := server("--autoscaler", base, "http://autoscaler:8000"); err != nil {
		return nil, err
	}
	client, err := asking.client(true)
	if err != nil {
		return nil, fmt.Errorf("--autoscaler: %w", err)
	}
	return func(ctx context.Context) (json.RawMessage, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/summary", http.NoBody)
		if err != nil {
			return nil, err
		}
		if err := asking.authorize(r.Header); err != nil {
			return nil, fmt.Errorf("--autoscaler-token-file: %w", err)
		}
		response, err := client.Do(r)
		if err != nil {
			return nil, fmt.Errorf("ask the autoscaler: %w", err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, maxSummaryBytes+1))
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the autoscaler's answer: %w", err)
		case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
			return nil, fmt.Errorf("the autoscaler requires a key with scope admin: set --autoscaler-token-file (%s)", response.Status)
		case response.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("the autoscaler answers %s: is --autoscaler its address, or with --admin-addr that one?", response.Status)
		case len(body) > maxSummaryBytes:
			return nil, fmt.Errorf("the autoscaler's answer is longer than %d bytes", maxSummaryBytes)
		}
		return json.RawMessage(body), nil
	}, nil
}
