package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/sse"
)

// statusStream is what a dispatcher sends: a history of two seconds and a frame.
const statusStream = `event: history
data: {"columns":["at","offered","completed","cached","refused","waiting","wait","healthy","replicas","total_p50","total_p95","total_p99"],"rows":[[1,4,4,2,0,0,null,1,1,9,9,9],[2,8,8,4,0,3,0.25,1,1,10,20,30]],"events":[],"state":null}

event: frame
data: {"row":[3,12,10,5,1.5,7,0.25,1,2,12,80,1234],"state":{"queue_capacity":200,"replicas":[{"url":"http://10.0.0.1:5000","healthy":true,"slots":2,"in_flight":1,"model":"resnet18-1","precision":"int8","images_per_second":10,"busy":0.9,"latency":0.05,"quantization":{"state":"adopted","precision":"bf16","compared":3000,"equal":2999,"wanted":0.95}},{"url":"http://10.0.0.2:5000","problem":"refused \u001b[31m"}],"int8_agreement":{"precision":"bf16","compared":4000,"equal":3950},"scaling":{"summary":{"policy":"deadline","replicas":2,"ready":1,"starting":1,"why":["rate: 2 replicas, because so"],"changes":["images waiting were 9 instead of 7"],"later":"Nothing changes."}}},"events":[{"at":"2026-01-02T03:04:05Z","kind":"bad","text":"http://10.0.0.2:5000 set aside"}]}

`

func statusServer(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/dashboard/stream":
			http.NotFound(w, r)
		case r.Header.Get("Authorization") != "Bearer secret":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, statusStream)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestStatus checks the three forms of output.
func TestStatus(t *testing.T) {
	t.Parallel()
	s := statusServer(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want []string
		not  string
	}{
		"once": {[]string{"--once"}, []string{
			"offered       12.0 images/s", "waiting          7 of 200", "result in  250 ms    from cache 50 %", "10.0.0.1:5000", "90%", "int8", "refused ?[31m",
			"policy deadline wants 2; 1 ready, 1 starting", "because  rate: 2 replicas", "unless   images waiting were 9", "Nothing changes.", "set aside", "30 ms",
			"bf16 is adopted; same label as fp32: 99.9 % of 3000 images", "bf16 agreement  98.7 % of 4000 images got the same best label from bf16"}, "\x1b"},
		"json": {[]string{"--json", "--once"}, []string{`"offered":12`, `"total_p99":1234`, `"queue_capacity":200`}, "\x1b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, logs bytes.Buffer
			if err := run(t.Context(), append([]string{"status", s.URL, "--token-file", token}, test.args...), &out, &logs); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, &out)
				}
			}
			if strings.Contains(out.String(), test.not) {
				t.Errorf("%q in\n%q", test.not, out.String())
			}
			if name == "json" && !json.Valid(out.Bytes()) {
				t.Errorf("no JSON: %s", &out)
			}
		})
	}

	// Elsewhere than on a terminal it prints lines, and connects again until it is stopped.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &untilLines{want: 3, stop: stop}
	if err := run(ctx, []string{"status", strings.TrimPrefix(s.URL, "http://"), "--token-file", token}, out, out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], "offered 12.0/s  completed 10.0/s  refused 1.5/s  waiting 7 of 200  result in 250 ms") || !strings.HasSuffix(lines[0], "bf16 agreement 98.7 % of 4000") || !strings.Contains(lines[1], "trying again") {
		t.Errorf("%s", out)
	}
}

// untilLines stops a command that has written some lines.
type untilLines struct {
	bytes.Buffer
	want int
	stop func()
}

func (u *untilLines) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if bytes.Count(u.Bytes(), []byte("\n")) >= u.want {
		u.stop()
	}
	return n, err
}

// TestStatusMistakes checks that each mistake ends at once, with what to do.
func TestStatusMistakes(t *testing.T) {
	t.Parallel()
	s := statusServer(t)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	strange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "event: frame\ndata: {\"row\":[1]}\n\n") }))
	defer strange.Close()
	for url, want := range map[string]string{s.URL: "--token-file", away.URL: "resnet18cloud up", other.URL: "address of a dispatcher", strange.URL: "a dispatcher of this version"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var out bytes.Buffer
		if err := run(ctx, []string{"status", url}, &out, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
		cancel()
	}
}

// TestScreenFits checks that a screen has no more lines and columns than its terminal.
func TestScreenFits(t *testing.T) {
	t.Parallel()
	var b statusBoard
	for e := range strings.SplitSeq(strings.TrimSpace(statusStream), "\n\n") {
		name, data, _ := strings.Cut(strings.TrimPrefix(e, "event: "), "\ndata: ")
		if err := b.receive(sse.Event{Name: name, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range [][2]int{{80, 24}, {40, 10}, {5, 1}, {1, 1}, {200, 60}} {
		lines := b.screen(size[0], size[1])
		if len(lines) > size[1] {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, l := range lines {
			if n := len([]rune(l)); n > size[0] {
				t.Errorf("%v: %d columns: %s", size, n, l)
			}
		}
	}
}
