package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// answering is a replica that knows one bird.
func answering(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"filename":"a.jpg","inference_time":0.004,"predictions":["goldfinch"]}`))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// pictures is a folder with one file that is called an image.
func pictures(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "n01531178_goldfinch.JPEG"), []byte("pixels"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func loadtest(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, log bytes.Buffer
	err = run(t.Context(), append([]string{"loadtest"}, args...), &out, &log)
	return out.String(), log.String(), err
}

// TestLoadtestThresholdsDecide: the exit status is that of the thresholds.
func TestLoadtestThresholdsDecide(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.json")
	out, log, err := loadtest(t, "--url", answering(t), "--images", pictures(t), "--api", "sync", "--schedule", "20",
		"--threshold", "p50<30s", "--threshold", "errors<1%", "--json", file)
	if err != nil || !strings.Contains(out, "20 images") || !strings.Contains(out, "holds   p50<30s") {
		t.Errorf("%v\n%s\n%s", err, out, log)
	}
	out, log, err = loadtest(t, "merge", file, file, "--threshold", "rate>1e9")
	if !errors.Is(err, errReported) || !strings.Contains(out, "40 images") || !strings.Contains(out, "BROKEN  rate>1e9") {
		t.Errorf("merge: %v\n%s\n%s", err, out, log)
	}
}

// TestLoadtestCompare compares a run with itself and with a search, and reads its timeline as a spreadsheet does.
func TestLoadtestCompare(t *testing.T) {
	t.Parallel()
	dir, url := t.TempDir(), answering(t)
	run, found, page, timeline := filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json"), filepath.Join(dir, "c.html"), filepath.Join(dir, "d.csv")
	args := []string{"--url", url, "--images", pictures(t), "--api", "sync"}
	if out, log, err := loadtest(t, append(args, "--schedule", "5,5", "--json", run, "--csv", timeline, "--header", "X-Secret=hidden")...); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	if out, log, err := loadtest(t, append(args, "--search", "--slo", "p50<30s", "--search-from", "20", "--search-max", "20", "--search-duration", "1s", "--json", found)...); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	out, log, err := loadtest(t, "compare", run, found, "--html", page)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	for _, want := range []string{"A  a.json", "B  b.json", "schedule: A 5,5, B poisson:20:1s", "headers: A X-Secret, B none", "too short a run to judge"} {
		if !strings.Contains(out, want) {
			t.Errorf("comparison lacks %q:\n%s", want, out)
		}
	}
	lines, err := os.ReadFile(timeline)
	if err != nil || !strings.HasPrefix(string(lines), "second,scheduled,") || !strings.Contains(string(lines), "\n1,5,5,") {
		t.Errorf("%v:\n%s", err, lines)
	}
	for _, file := range []string{run, page} {
		if data, err := os.ReadFile(file); err != nil || bytes.Contains(data, []byte("hidden")) {
			t.Errorf("%s: %v, or it has the value of a header", file, err)
		}
	}
	if out, _, err := loadtest(t, "compare", run, run); err != nil || strings.Count(out, "a.json") != 2 {
		t.Errorf("a run and itself: %v\n%s", err, out)
	}
}

// TestLoadtestUnique checks which images are sent as they are: a dispatcher would answer the others from its cache.
func TestLoadtestUnique(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		unique bool
	}{
		"of our servers": {[]string{"--api", "sync"}, true},
		"as they are":    {[]string{"--api", "sync", "--no-unique"}, false},
		"of others":      {[]string{"--api", "http"}, false},
		"as asked":       {[]string{"--api", "http", "--unique"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var unique, other atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if _, rest, found := bytes.Cut(body, []byte("pixels")); found && len(bytes.TrimPrefix(rest, []byte("\r\n"))) > 0 {
					if after, _, _ := bytes.Cut(rest, []byte("\r\n--")); len(after) == 16 {
						unique.Add(1)
					} else {
						other.Add(1)
					}
				} else if found {
					other.Add(1)
				}
				w.Header().Set("X-Cache", "HIT")
				_, _ = w.Write([]byte(`{"predictions":["goldfinch"],"timing":{"cache":0.001}}`))
			}))
			defer server.Close()
			out, log, err := loadtest(t, append(c.args, "--url", server.URL, "--images", pictures(t), "--schedule", "3")...)
			if err != nil || !strings.Contains(out, "3 of 3 answers (100 %) came from the server's cache") {
				t.Errorf("%v\n%s\n%s", err, out, log)
			}
			if want := map[bool]int32{true: 3}[c.unique]; unique.Load() != want || other.Load() != 3-want {
				t.Errorf("%d of 3 images had 16 bytes more, %d had none, want %d", unique.Load(), other.Load(), want)
			}
		})
	}
}

// TestListOfSeconds: as the prototype's log has it, but no line of a day's 86,400 numbers.
func TestListOfSeconds(t *testing.T) {
	t.Parallel()
	if got, want := list(schedule.Prototype.PerSecond()[:4]), "[4, 8, 11, 15]"; got != want {
		t.Errorf("list = %s, want %s", got, want)
	}
	if got, want := list(make([]int, 86400)), "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...] (86400 seconds)"; got != want {
		t.Errorf("list = %s, want %s", got, want)
	}
}

// TestLoadtestBadInput: each mistake is told, with what to do.
func TestLoadtestBadInput(t *testing.T) {
	t.Parallel()
	url, images := answering(t), pictures(t)
	notes := filepath.Join(t.TempDir(), "notes.json")
	if err := os.WriteFile(notes, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	others := filepath.Join(t.TempDir(), "others.jsonl")
	if err := os.WriteFile(others, []byte(`{"file":"b.jpg","label":"junco"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	nameless := t.TempDir()
	if err := os.WriteFile(filepath.Join(nameless, "holiday.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	mux := http.NewServeMux() // like a replica, it has no /predict_async
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	bare := httptest.NewServer(mux)
	t.Cleanup(bare.Close)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no images":          {[]string{"--images", t.TempDir()}, "with --images, or run 'make images'"},
		"no folder":          {[]string{"--images", filepath.Join(images, "none")}, "no such file or directory"},
		"not a folder":       {[]string{"--images", filepath.Join(notes, "sub")}, "not a directory"},
		"comparison":         {[]string{"compare", notes, notes}, "want a file of loadtest --json or --records"},
		"no folder for it":   {[]string{"compare", notes, notes, "--html", filepath.Join(images, "none", "a")}, "--html: no folder"},
		"no folder for CSV":  {[]string{"--csv", filepath.Join(images, "none", "a.csv")}, "--csv: no folder"},
		"plan of other":      {[]string{"plan", notes}, "invalid character"},
		"schedule":           {[]string{"--schedule", "soon"}, `"soon" is not a number; want rates such as 4,8,11`},
		"negative rate":      {[]string{"--schedule", "4,-1"}, "rate -1 at step 2"},
		"nothing to send":    {[]string{"--schedule", "0,0"}, "sends nothing"},
		"pattern":            {[]string{"--schedule", "ramp:1"}, "want FROM:TO:DURATION"},
		"no CSV":             {[]string{"--schedule", "none.csv"}, "none.csv"},
		"threshold":          {[]string{"--threshold", "p99"}, "such as p99<500ms"},
		"server absent":      {[]string{"--url", closed.URL}, "set --url"},
		"a replica":          {[]string{"--url", bare.URL, "--api", "async"}, "use --api=sync for a replica"},
		"no URL":             {[]string{"--url", "here"}, "--url"},
		"records nowhere":    {[]string{"--records", filepath.Join(images, "none", "a")}, "write records"},
		"merge of other":     {[]string{"merge", notes}, "invalid character"},
		"option of no mode":  {[]string{"--api", "carrier-pigeon"}, "--api"},
		"no names":           {[]string{"--expect", "names", "--images", nameless}, "named after its class"},
		"no model":           {[]string{"--api", "oip", "--oip-model", "x"}, "--oip-model"},
		"no class folders":   {[]string{"--expect", "folders", "--images", nameless}, "folder of its class"},
		"label nowhere":      {[]string{"--expect", notes}, "line 1"},
		"folder expected":    {[]string{"--expect", images}, "use --expect folders"},
		"others expected":    {[]string{"--expect", others}, "has none of the images"},
		"no scheme":          {[]string{"--url", "127.0.0.1"}, "want a URL such as http://127.0.0.1:8080"},
		"no folder for JSON": {[]string{"--json", filepath.Join(images, "none", "a.json")}, "--json: no folder"},
		"page is a folder":   {[]string{"--html", images}, "is a folder"},
		"no label path":      {[]string{"--api", "http", "--expect", "names"}, "--label-path"},
		"workers":            {[]string{"--workers=-2"}, "--workers -2"},
		"outstanding":        {[]string{"--max-outstanding=-1"}, "--max-outstanding -1"},
		"timeout":            {[]string{"--timeout=-1s"}, "--timeout -1s"},
		"search from":        {[]string{"--search", "--slo", "p50<1s", "--search-from", "NaN"}, "--search-from NaN"},
		"expectation absent": {[]string{"--expect", filepath.Join(images, "none")}, "--expect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := c.args
			if strings.HasPrefix(args[0], "--") {
				args = append([]string{"--url", url, "--images", images, "--schedule", "1", "--api", "sync"}, args...)
			}
			_, _, err := loadtest(t, args...)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want an error of one line with %q", err, c.want)
			}
		})
	}
}

// TestLoadtestOfOthers sends images to a server that is not ours, and reads its answers.
func TestLoadtestOfOthers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && (string(body) != "pixels" || r.Header.Get("Authorization") != "Bearer abc") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"classes":[{"name":"goldfinch","score":0.9},{"name":"junco"}]}`))
	}))
	defer server.Close()
	args := []string{"--url", server.URL + "/classify", "--api", "http", "--images", pictures(t), "--schedule", "5",
		"--header", "Authorization=Bearer abc", "--expect", "names"}
	if out, log, err := loadtest(t, append(args, "--label-path", "classes.0.name")...); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, log)
	}
	for path, want := range map[string]string{
		"classes.1.name": `"junco", want "goldfinch"`, "classes.9.name": `no element "9" in an array of 2`, "classes.0.score": "not a string", "a.b": `nothing at "b"`,
	} {
		if out, _, err := loadtest(t, append(args, "--label-path", path)...); !errors.Is(err, errReported) || !strings.Contains(out, want) {
			t.Errorf("--label-path %s: %v, want %q in\n%s", path, err, want, out)
		}
	}
}

// TestLoadtestStopsWithWhatItHas: Ctrl-C in the middle of an hour leaves a report and files of what was measured.
func TestLoadtestStopsWithWhatItHas(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"run", "search"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(`{"predictions":["goldfinch"]}`))
				if r.URL.Path == "/predict" && asked.Add(1) == 60 {
					interrupt()
				}
			}))
			defer server.Close()
			file := filepath.Join(t.TempDir(), "a.json")
			args := []string{"loadtest", "--url", server.URL, "--api", "sync", "--images", pictures(t), "--json", file, "--schedule", "constant:50:1h"}
			if mode == "search" {
				args = append(args, "--search", "--slo", "p50<30s", "--search-duration", "1s", "--search-from", "20")
			}
			var out, log bytes.Buffer
			err := run(ctx, args, &out, &log)
			if !errors.Is(err, errReported) || !strings.Contains(log.String(), "stopped early") || !strings.Contains(out.String(), "p99") {
				t.Errorf("%v\n%s\n%s", err, out.String(), log.String())
			}
			if _, err := os.Stat(file); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLoadtestSearch: a server that answers at once holds all rates.
func TestLoadtestSearch(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "search.json")
	out, log, err := loadtest(t, "--url", answering(t), "--images", pictures(t), "--api", "sync", "--search", "--slo", "p50<30s",
		"--search-from", "20", "--search-max", "40", "--search-duration", "1s", "--json", file)
	if err != nil || !strings.Contains(out, "40.0 requests/s hold, the highest rate tried") {
		t.Errorf("%v\n%s\n%s", err, out, log)
	}
	out, _, err = loadtest(t, "--url", answering(t), "--images", pictures(t), "--api", "sync", "--search", "--slo", "p50<30s",
		"--search-from", "20", "--search-max", "20", "--search-duration", "1s", "--threshold", "rate>1000")
	if !errors.Is(err, errReported) || !strings.Contains(out, "BROKEN  rate>1000") {
		t.Errorf("search below what CI wants: %v\n%s", err, out)
	}
	if _, _, err := loadtest(t, "--url", answering(t), "--images", pictures(t), "--search"); err == nil || !strings.Contains(err.Error(), "--slo") {
		t.Errorf("search for nothing: %v", err)
	}
}

// TestLoadtestPlan goes from a search to the values for Kubernetes.
func TestLoadtestPlan(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "search.json")
	if out, log, err := loadtest(t, "--url", answering(t), "--images", pictures(t), "--api", "sync", "--search", "--slo", "p50<30s",
		"--search-from", "40", "--search-max", "40", "--search-duration", "1s", "--json", file); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	out, log, err := loadtest(t, "plan", file, "--schedule", "constant:10:1h")
	if err != nil || !strings.Contains(out, "1 at the lowest rate, 1 at the highest") || !strings.Contains(out, "maxReplicas: 1") || !strings.Contains(log, "--metrics") {
		t.Errorf("%v\n%s\n%s", err, out, log)
	}
}
