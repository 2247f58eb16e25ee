package main

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// TestDispatcherDefaults checks that the flags' defaults are the package's.
func TestDispatcherDefaults(t *testing.T) {
	t.Parallel()
	var c dispatcherCmd
	parser, err := kong.New(&c)
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != dispatch.DefaultAddr || c.QueueCapacity != dispatch.DefaultQueueCapacity ||
		c.CacheSize != dispatch.DefaultCacheSize || c.MaxImageBytes != httpx.MaxImageBytes ||
		c.MaxUploadBytes != httpx.MaxUploadBytes || c.MinUploadRate != httpx.MinUploadRate ||
		c.MaxWorkingBytes != dispatch.DefaultWorkingBytes || c.ClientRate != 0 || c.ClientInFlight != 0 {
		t.Errorf("defaults of the flags are not those of the package: %+v", c)
	}
}

// lineWriter passes on what is written to it.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// TestDispatcherCommand starts the command, finds its address in the log, and ends it by its context.
func TestDispatcherCommand(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stderr := make(lineWriter, 100)
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"dispatcher", "--addr", "127.0.0.1:0", "--data-dir", t.TempDir()}, nil, stderr)
	}()
	var url string
	for address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`); url == ""; {
		select {
		case line := <-stderr:
			if strings.Contains(line, "dispatcher ready") {
				url = address.FindString(line)
			}
		case err := <-done:
			t.Fatalf("dispatcher ended: %v", err)
		}
	}
	resp, err := http.Get(url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET /health = %d", resp.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("dispatcher: %v", err)
	}
}
