package model

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// hostile is a mirror whose file is served by a test.
type hostile struct {
	*httptest.Server
	requests atomic.Int64 // for the file
	sent     atomic.Int64 // bytes of the file
}

func newHostile(t *testing.T, size int, sum string, serve http.HandlerFunc) *hostile {
	t.Helper()
	h := &hostile{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /models.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"default":"w.bin","weights":"tiny","files":[{"name":"w.bin","bytes":%d,"sha256":%q}]}`, size, sum)
	})
	mux.HandleFunc("GET /w.bin", func(w http.ResponseWriter, r *http.Request) {
		h.requests.Add(1)
		serve(&counter{w, &h.sent}, r)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

// counter counts the bytes of a response.
type counter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// flood writes until the client leaves, or until it is clear that the client does not: a broken limit must fill no disk.
func flood(w http.ResponseWriter, r *http.Request) {
	piece := make([]byte, 32<<10)
	for sent := 0; sent < 64<<20 && r.Context().Err() == nil; sent += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// drip writes a byte now and then until the client leaves.
func drip(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		_, _ = io.WriteString(w, "x")
		_ = http.NewResponseController(w).Flush()
		pause.For(r.Context(), 5*time.Millisecond)
	}
}

// TestHostileMirrors checks that each mirror costs a bounded number of requests and bytes, that each further try is
// reported, and that nothing is left.
func TestHostileMirrors(t *testing.T) {
	t.Parallel()
	file := weightFile(t) // 200 kB
	size, sum := len(file), digest(file)
	for name, test := range map[string]struct {
		serve    http.HandlerFunc
		problem  string
		requests int64 // at most
		notices  int   // at least
	}{
		"more than announced": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(256<<20))
			flood(w, r)
		}, fmt.Sprintf("file has %d bytes, want %d", 256<<20, size), 1, 0},
		"less than announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "short")
		}, fmt.Sprintf("file has 5 bytes, want %d", size), 1, 0},
		"endless": {flood, fmt.Sprintf("file has more than %d bytes", size), 1, 0},
		"short without a length": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(file[:1000])
			_ = http.NewResponseController(w).Flush()
		}, fmt.Sprintf("has 1000 bytes, want %d", size), 1, 0},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "gave up after 3 tries: server sends nothing", 3, 2},
		"silent after the header": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "gave up after 3 tries: server sends nothing", 3, 2},
		"a byte now and then": {drip, "server sends nothing, or almost nothing", 5, 2},
		"ignores ranges and breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(file[:150_000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "server cannot resume", 4, 4},
		"breaks off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "gave up after 3 tries", 6, 2},
		"unavailable": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
			"gave up after 3 tries: server responded 503", 3, 2},
		"missing": {http.NotFound, "server responded 404", 1, 0},
		"another range": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7-8/9")
			w.WriteHeader(http.StatusPartialContent)
		}, `server sent range "bytes 7-8/9", want "bytes 0-"`, 1, 0},
		"always complete": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
			"has 0 bytes", 1, 0},
		"redirects forever": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/w.bin", http.StatusFound) }, "stopped after 10 redirects", 30, 2},
		"another file":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(weightFile(t, 1)[:size]) }, "has SHA-256", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t, size, sum, test.serve)
			c := PullConfig{Mirror: h.URL, Out: filepath.Join(t.TempDir(), "w.safetensors"), Client: h.Client(), Tries: 3, IdleTimeout: 200 * time.Millisecond, convert: convertTiny}
			var mu sync.Mutex
			var notices []string
			c.Notify = func(message string) { mu.Lock(); defer mu.Unlock(); notices = append(notices, message) }
			_, err := Pull(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("Pull: %v, want an error with %q", err, test.problem)
			}
			if n := h.requests.Load(); n > test.requests {
				t.Errorf("%d requests, want at most %d", n, test.requests)
			}
			if n := h.sent.Load(); n > 32<<20 { // what fits into socket buffers is sent but not read
				t.Errorf("%d bytes sent", n)
			}
			if name == "ignores ranges and breaks off" && notices[0] != "download broke off after 0.1 MiB: unexpected EOF; try 1 of 3 in 200ms" {
				t.Errorf("first notice %q", notices[0])
			}
			if len(notices) < test.notices {
				t.Errorf("notices %q, want at least %d", notices, test.notices)
			}
			left, err := os.ReadDir(filepath.Dir(c.Out))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// TestNothingIsReadBeyondTheAnnouncedSize counts what is written of an endless response.
func TestNothingIsReadBeyondTheAnnouncedSize(t *testing.T) {
	t.Parallel()
	h := newHostile(t, 0, "", flood)
	f, err := os.Create(filepath.Join(t.TempDir(), "w"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := download{client: h.Client(), url: h.URL + "/w.bin", size: 10_000, idle: time.Minute, tries: 3,
		progress: func(int64, int64) {}, notify: func(string) {}}
	if err := d.repeat(t.Context(), f); !isFinal(err) {
		t.Errorf("error %v, want a final one", err)
	}
	if info, err := f.Stat(); err != nil || info.Size() > 10_000 {
		t.Errorf("file %v %v, want at most 10,000 bytes", info.Size(), err)
	}
}

// TestStatusTexts checks that a mirror's own text for a status, which may have control characters, is not in the error.
func TestStatusTexts(t *testing.T) {
	t.Parallel()
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 410 \x1b[2Jfine\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
	index := httptest.NewServer(http.HandlerFunc(refuse))
	t.Cleanup(index.Close)
	for name, url := range map[string]string{"index": index.URL, "file": newHostile(t, 5, strings.Repeat("0", 64), refuse).URL} {
		_, err := Pull(t.Context(), PullConfig{Mirror: url, Out: filepath.Join(t.TempDir(), "w.safetensors"), Tries: 1})
		if err == nil || !strings.HasSuffix(err.Error(), "server responded 410 Gone") {
			t.Errorf("%s: %q, want the text of the standard", name, err)
		}
	}
}

// TestHostileIndexes checks what a models.json may not do.
func TestHostileIndexes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		serve   http.HandlerFunc
		problem string
	}{
		"endless":             {flood, "more than 1048576 bytes"},
		"a byte now and then": {drip, "server sends nothing, or almost nothing"},
		"silent":              {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "server sends nothing, or almost nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(test.serve)
			t.Cleanup(s.Close)
			c := PullConfig{Mirror: s.URL, Out: filepath.Join(t.TempDir(), "w"), Client: s.Client(), IdleTimeout: 300 * time.Millisecond}
			if name == "endless" {
				c.IdleTimeout = time.Minute
			}
			if _, err := Pull(t.Context(), c); err == nil || !strings.Contains(err.Error(), test.problem) ||
				!strings.Contains(err.Error(), "read models.json of mirror "+s.URL) {
				t.Errorf("Pull: %v, want an error with %q that names the mirror", err, test.problem)
			}
		})
	}
}

// TestUnknownSize downloads a file whose size is neither announced nor in the response, in two tries.
func TestUnknownSize(t *testing.T) {
	t.Parallel()
	file := make([]byte, 3<<20)
	tries := 0
	h := newHostile(t, 0, "", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q, want identity", got)
		}
		if tries++; tries == 1 {
			_, _ = w.Write(file[:2<<20])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", 2<<20, len(file)-1))
		w.WriteHeader(http.StatusPartialContent)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(file[2<<20:])
	})
	path := filepath.Join(t.TempDir(), "w")
	var done, total int64
	d := download{client: h.Client(), url: h.URL + "/w.bin", idle: time.Minute, tries: 1,
		progress: func(d, n int64) { done, total = d, n }, notify: func(string) {}}
	if err := d.run(t.Context(), path); err != nil { // one try suffices, because the first brought 2 MiB
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != int64(len(file)) || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("file %v %v, want %d bytes", info, err, len(file))
	}
	if done != int64(len(file)) || total != -1 {
		t.Errorf("last progress %d of %d, want %d of -1", done, total, len(file))
	}
}

// TestUsefulPartsAreKept checks that an interrupted download leaves what a later one can resume, and that a part that
// cannot be of this file is dropped.
func TestUsefulPartsAreKept(t *testing.T) {
	t.Parallel()
	s := goodServer(t)
	s.cuts = 1
	c := s.config(t)
	c.Tries = 1
	c.Progress = func(done, _ int64) {
		if done == 60_000 {
			s.mu.Lock()
			s.dead = true
			s.mu.Unlock()
		}
	}
	if _, err := Pull(t.Context(), c); err == nil || !strings.Contains(err.Error(), "0.1 MiB are kept: run the command again to resume") {
		t.Fatalf("Pull: %v, want an error that says how to resume", err)
	}
	part := c.Out + "." + digest(s.file)[:8] + ".part"
	if info, err := os.Stat(part); err != nil || info.Size() != 60_000 {
		t.Fatalf("part %v %v, want 60,000 bytes", info, err)
	}
	if err := os.WriteFile(part, make([]byte, len(s.file)+1), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.dead = false
	s.mu.Unlock()
	c.Progress = nil
	if _, err := Pull(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	checkPulled(t, c.Out, digest(s.file))
}
