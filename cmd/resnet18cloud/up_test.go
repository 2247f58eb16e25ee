package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/autoscale/autoscaler"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// defaults parses an empty command line.
func defaults(t *testing.T, cmd any) {
	t.Helper()
	parser, err := kong.New(cmd, modelVars(), policyVars())
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestServingDefaults checks that the flags' defaults are the packages'.
func TestServingDefaults(t *testing.T) {
	t.Parallel()
	var r replicaCmd
	defaults(t, &r)
	if r.Addr != replica.DefaultAddr || r.Queue != replica.DefaultQueue || r.MaxImageBytes != httpx.MaxImageBytes ||
		r.MaxUploadBytes != httpx.MaxUploadBytes || r.MinUploadRate != httpx.MinUploadRate {
		t.Errorf("defaults of replica's flags are not those of the package: %+v", r)
	}
	var u upCmd
	defaults(t, &u)
	if exposed(u.Addr) || "127.0.0.1"+dispatch.DefaultAddr != u.Addr || u.QueueCapacity != dispatch.DefaultQueueCapacity || u.CacheSize != dispatch.DefaultCacheSize ||
		u.MaxUploadBytes != httpx.MaxUploadBytes || u.MinUploadRate != httpx.MinUploadRate {
		t.Errorf("defaults of up's flags are not those of the package: %+v", u)
	}
}

func TestNoArgumentsShowHelp(t *testing.T) {
	t.Parallel()
	stdout, _, err := command(t)
	if err != nil || !strings.Contains(stdout, "Usage: resnet18cloud") {
		t.Errorf("without arguments: %v, printed %q, want help", err, stdout)
	}
}

func TestReplicaRefusesWithoutWeights(t *testing.T) {
	t.Parallel()
	_, _, err := command(t, "replica", "--addr", "127.0.0.1:0")
	if !errors.Is(err, model.ErrNone) || !strings.Contains(err.Error(), "resnet18cloud model pull") {
		t.Errorf("replica without weights: %v, want ErrNone and the remedy", err)
	}
}

// TestUpRefusesWeights checks that weights that cannot be served are up's error, before any replica starts and fails.
func TestUpRefusesWeights(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "best.pth")
	if err := os.WriteFile(path, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := command(t, "up", "--addr", "127.0.0.1:0", "--replica-port", "0", "--data-dir", t.TempDir(), "--model", path)
	if err == nil || !strings.Contains(err.Error(), "this is a GGUF file") || strings.Contains(stdout+stderr, "restarting") {
		t.Errorf("up of a GGUF file: %v, printed %s%s", err, stdout, stderr)
	}
}

// TestUpRefusesModels checks that a folder without a model to serve is up's error, before any replica starts and fails.
func TestUpRefusesModels(t *testing.T) {
	t.Parallel()
	for want, files := range map[string][]string{
		"has no models":                    {"notes.txt"},
		"load models: no model of folder ": {"a.pth"},
		"b@2.pth: this is a GGUF file":     {"a@1.pth", "b@2.pth"},
	} {
		dir := t.TempDir()
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f), []byte("GGUF"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		stdout, stderr, err := command(t, "up", "--addr", "127.0.0.1:0", "--replica-port", "0", "--data-dir", t.TempDir(), "--models", dir, "--default-model", "a")
		if err == nil || !strings.Contains(err.Error(), want) || stdout+stderr != "" {
			t.Errorf("up of %q: %v, printed %s%s; want %q alone", files, err, stdout, stderr, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "models")
	if _, _, err := command(t, "up", "--models", missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("up without the folder: %v", err)
	}
}

// serve runs a command until the test's end, and returns the URL in the first line that has one.
func serve(t *testing.T, line *regexp.Regexp, args ...string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	lines, done := make(lineWriter, 1000), make(chan error, 1)
	go func() { done <- run(ctx, args, lines, lines) }()
	stop = func() error { cancel(); return <-done }
	t.Cleanup(func() { cancel(); http.DefaultClient.CloseIdleConnections() })
	for {
		select {
		case text := <-lines:
			if m := line.FindStringSubmatch(text); m != nil {
				return m[1], stop
			}
		case err := <-done:
			t.Fatalf("%v ended: %v", args, err)
		}
	}
}

// TestUp runs the whole system in the test's process and one of its own, without weights, and uses the addresses that it prints.
func TestUp(t *testing.T) {
	t.Parallel()
	url, stop := serve(t, regexp.MustCompile(`is running at (\S+)`),
		"up", "--addr", "127.0.0.1:0", "--replica-port", "0", "--data-dir", t.TempDir(), "--base-path", "/photos/")
	if !strings.HasSuffix(url, "/photos") {
		t.Errorf("up says that it runs at %s, want the path of --base-path", url)
	}
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 300, 200)), nil); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url+"/predict", "image/jpeg", &picture)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var result resnet18cloud.Result
	if err := json.NewDecoder(resp.Body).Decode(&result); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || len(result.Predictions) != resnet18cloud.TopK || !strings.Contains(result.Warning, "random") {
		t.Errorf("POST /predict = %s %+v, want five labels and a warning", resp.Status, result)
	}
	asked, err := http.Get(url + "/labels")
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Body.Close()
	var classes resnet18cloud.Labels
	if err := json.NewDecoder(asked.Body).Decode(&classes); err != nil || classes.Classes != 1000 || len(classes.Labels) != 1000 {
		t.Errorf("GET /labels = %s, %v, %d classes, %d labels; want ImageNet's", asked.Status, err, classes.Classes, len(classes.Labels))
	}
	page, err := http.Get(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if page.StatusCode != http.StatusOK || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("GET / = %s %s", page.Status, page.Header.Get("Content-Type"))
	}
	if err := stop(); err != nil {
		t.Errorf("up: %v", err)
	}
}

// TestUpSharesWeights: replicas of one up have one copy of the packed weights.
func TestUpSharesWeights(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("memory is shared on Linux")
	}
	folder := t.TempDir()
	for name, file := range map[string]string{"a.pth.gz": "tv-6.pth.gz", "b.pth.gz": "head-mlp.pth.gz", "c.pth": "refuse-lfs-pointer.pth"} {
		if err := os.Symlink(testutil.Shared(t, "own", "checkpoints", file), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		weights string
		args    []string
	}{
		{"resnet18-ktb", []string{"--model", testutil.Shared(t, "models", "resnet18-ktb.pth")}},
		{"b", []string{"--models", folder, "--default-model", "a"}},
	} {
		shared, stop := serve(t, regexp.MustCompile(`replica-2: .*weights loaded.*weights=`+test.weights+`@.*shared=(\S+)`), append([]string{
			"--log-level", "debug", "up", "--addr", "127.0.0.1:0", "--replica-port", "0", "--data-dir", t.TempDir(), "--replicas", "2"}, test.args...)...)
		if shared != "true" {
			t.Errorf("%v: the second replica says shared=%s", test.args, shared)
		}
		if err := stop(); err != nil {
			t.Errorf("up: %v", err)
		}
	}
}

// firstDecision waits until an autoscaler has decided on figures of the dispatcher, and returns the decision.
func firstDecision(t *testing.T, client *http.Client, url string) autoscaler.Record {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // decisions are a second apart
		resp, err := client.Get(url + "/decisions?n=1")
		if err != nil {
			t.Fatal(err)
		}
		var records []autoscaler.Record
		err = json.NewDecoder(resp.Body).Decode(&records)
		_ = resp.Body.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case len(records) > 0 && records[0].Age >= 0 && records[0].Ready > 0:
			return records[0]
		case time.Now().After(deadline):
			t.Fatalf("after a minute the autoscaler has not read the dispatcher's status: %+v", records)
		}
	}
}

// TestUpAutoscales: the autoscaler of up decides, on the figures of its dispatcher.
func TestUpAutoscales(t *testing.T) {
	t.Parallel()
	url, stop := serve(t, regexp.MustCompile(`why +curl (\S+)/decisions`), "up", "--addr", "127.0.0.1:0", "--replica-port", "0",
		"--data-dir", t.TempDir(), "--autoscale", "1:2", "--autoscaler-addr", "127.0.0.1:0")
	r := firstDecision(t, http.DefaultClient, url)
	if r.Policy != "deadline" || r.Was != 1 || r.Replicas != 1 || len(r.Reasons) == 0 {
		t.Errorf("decision %+v, want one replica, with a reason", r)
	}
	if err := stop(); err != nil {
		t.Errorf("up: %v", err)
	}
}

func TestReplicaCommand(t *testing.T) {
	t.Parallel()
	url, stop := serve(t, regexp.MustCompile(`replica ready.*url=(\S+)`), "replica", "--addr", "127.0.0.1:0", "--random-weights")
	resp, err := http.Get(url + "/info")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var info replica.Info
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	if info.Model != "resnet18" || info.Concurrency < 1 || info.Kernels == "" || info.Precision != "fp32" || info.Warning == "" {
		t.Errorf("GET /info: %+v", info)
	}
	for _, path := range []string{"/labels", "/v2/models/resnet18"} { // what an engine tells beside classifying
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"goldfinch"`) {
			t.Errorf("GET %s = %s, %v: %.200s; want the labels", path, resp.Status, err, body)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("replica: %v", err)
	}
}
