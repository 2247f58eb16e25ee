package main

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestScale changes the number of replicas of an up, which takes no more than --autoscale allows.
func TestScale(t *testing.T) {
	t.Parallel()
	url, stop := serve(t, regexp.MustCompile(`is running at (\S+)`), "up", "--addr", "127.0.0.1:0", "--replica-port", "0", "--data-dir", t.TempDir())
	for _, test := range []struct{ number, stdout, stderr string }{
		{"2", "2 replicas are ready\n", "from 1 to 2 replicas\n"},
		{"2", "2 replicas are ready\n", "from 2 to 2 replicas\n"},
		{"1", "1 replica is ready\n", "from 2 to 1 replicas\n"},
	} {
		stdout, stderr, err := command(t, "scale", test.number, strings.TrimPrefix(url, "http://"))
		if err != nil || stdout != test.stdout || stderr != test.stderr {
			t.Errorf("scale %s: %v, printed %q and %q", test.number, err, stdout, stderr)
		}
	}
	if _, _, err := command(t, "scale", "65", "--url", url); err == nil || !strings.Contains(err.Error(), "65 replicas (use a number from 1 to 64)") {
		t.Errorf("scale 65: %v", err)
	}
	response, err := http.Get(url + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || strings.Count(string(body), `"healthy":true`) != 1 {
		t.Errorf("status: %s, %v; want one replica", body, err)
	}
	if err := stop(); err != nil {
		t.Errorf("up: %v", err)
	}
	if _, _, err := command(t, "scale", "2", url); err == nil || !strings.Contains(err.Error(), "no dispatcher answers at "+url) {
		t.Errorf("scale of an up that has ended: %v", err)
	}
}

// TestScaleOfAutoscaled checks that the number is the autoscaler's where there is one.
func TestScaleOfAutoscaled(t *testing.T) {
	t.Parallel()
	url, stop := serve(t, regexp.MustCompile(`is running at (\S+)`), "up", "--addr", "127.0.0.1:0", "--replica-port", "0", "--data-dir", t.TempDir(),
		"--autoscale", "1:1", "--autoscaler-addr", "127.0.0.1:0")
	_, _, err := command(t, "scale", "1", url)
	if err == nil || !strings.Contains(err.Error(), "The autoscaler sets the number of replicas, from 1 to 1 (start 'up' again with another --autoscale") {
		t.Errorf("scale: %v", err)
	}
	if _, usage := errors.AsType[usageError](err); usage {
		t.Error("it is said to be an error of the command line")
	}
	if err := stop(); err != nil {
		t.Errorf("up: %v", err)
	}
}
