package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// testTime is when the served file changed last, as far as requests with conditions care.
var testTime = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// TestMain gives the tests a cache folder of their own: a mistake in Pull must not replace the weights of who runs them.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "resnet18cloud-model-")
	if err == nil {
		err = errors.Join(os.Setenv("XDG_CACHE_HOME", dir), os.Setenv("HOME", dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(dir)
		os.Exit(status)
	}))
}

// weightFile is a small weight file's bytes, large enough to be cut. It is a quantized one, of which loading asks for no
// particular tensors.
func weightFile(tb testing.TB, numbers ...float32) []byte {
	tb.Helper()
	data := append(make([]float32, 50_000), numbers...)
	var b bytes.Buffer
	err := safetensors.Write(&b, &safetensors.Content{
		Tensors: map[string]tensor.Tensor{"conv1.bias": {Shape: []int{len(data)}, Data: data}},
		Int8:    map[string]tensor.Of[int8]{"conv1.weight": {Shape: []int{1}, Data: []int8{1}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// convertTiny stands for convert where a test fetches less than a network.
func convertTiny(in, out string, source Source, _ Options) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	c, err := safetensors.Parse(data)
	if err != nil {
		return fmt.Errorf("not a weight file: %w", err)
	}
	c.Metadata = map[string]string{weights.MetaOrigin: digest(data), weights.MetaWeights: source.Weights, weights.MetaSource: source.Origin,
		weights.MetaLicence: source.Licence, weights.MetaRevision: source.Revision}
	return Save(out, c)
}

// metadataOf returns the metadata of a safetensors file.
func metadataOf(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	metadata, err := safetensors.ReadMetadata(f)
	if err != nil {
		t.Fatal(err)
	}
	return metadata
}

// server is a mirror that serves a file and can be made to misbehave.
type server struct {
	*httptest.Server
	file []byte

	mu      sync.Mutex // guards the fields below
	cuts    int        // answers yet to be cut in their middle
	ranges  []string   // Range headers of the requests for the file
	deaf    bool       // ranges are ignored
	dead    bool       // connections are cut before the first byte
	missing bool       // the file is not there
}

func newServer(t *testing.T, file []byte, sum string, size int) *server {
	t.Helper()
	s := &server{file: file}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sub/models.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"default":"w.bin","weights":"tiny","source":"a test","licence":"free",
			"files":[{"name":"w.bin","format":"safetensors","bytes":%d,"sha256":%q}]}`, size, sum)
	})
	mux.HandleFunc("GET /sub/w.bin", s.serve)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func goodServer(t *testing.T) *server {
	t.Helper()
	file := weightFile(t, 1, 2, 3)
	return newServer(t, file, digest(file), len(file))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	if s.dead {
		panic(http.ErrAbortHandler)
	}
	if s.missing {
		http.NotFound(w, r)
		return
	}
	if s.deaf {
		r.Header.Del("Range")
	}
	if s.cuts > 0 {
		s.cuts--
		w = &cutter{w, 60_000}
	}
	http.ServeContent(w, r, "w.bin", testTime, bytes.NewReader(s.file))
}

// cutter ends an answer after some bytes: the handler's panic closes the connection.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) >= c.left {
		if _, err := c.ResponseWriter.Write(b[:c.left]); err == nil {
			_ = http.NewResponseController(c.ResponseWriter).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

func (s *server) config(t *testing.T) PullConfig {
	t.Helper()
	return PullConfig{Mirror: s.URL + "/sub", Out: filepath.Join(t.TempDir(), "cache", "w.safetensors"), Client: s.Client(), convert: convertTiny}
}

// checkPulled checks that the file is whole, says what it is, and that nothing else lies beside it.
func checkPulled(t *testing.T, path, origin string) {
	t.Helper()
	metadata := metadataOf(t, path)
	for key, want := range map[string]string{weights.MetaWeights: "tiny", weights.MetaSource: "a test",
		weights.MetaLicence: "free", weights.MetaOrigin: origin} {
		if got := metadata[key]; got != want {
			t.Errorf("metadata %s is %q, want %q", key, got, want)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v, want one file", entries, err)
	}
}

func TestPullFromServer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cuts   int
		deaf   bool
		ranges []string
	}{
		"at once":                      {ranges: []string{""}},
		"after two cuts":               {cuts: 2, ranges: []string{"", "bytes=60000-", "bytes=120000-"}},
		"from a server without ranges": {cuts: 1, deaf: true, ranges: []string{"", "bytes=60000-"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := goodServer(t)
			s.cuts, s.deaf = tt.cuts, tt.deaf
			c := s.config(t)
			var done, total int64
			c.Progress = func(d, n int64) { done, total = d, n }
			got, err := Pull(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if got.Already || got.Path != c.Out {
				t.Errorf("Pull = %+v, want a new %s", got, c.Out)
			}
			checkPulled(t, c.Out, digest(s.file))
			if fmt.Sprint(s.ranges) != fmt.Sprint(tt.ranges) {
				t.Errorf("ranges asked for: %q, want %q", s.ranges, tt.ranges)
			}
			if done != int64(len(s.file)) || total != done {
				t.Errorf("last progress: %d of %d, want %d of it", done, total, len(s.file))
			}
		})
	}
}

// TestPullGoesOnLater interrupts a pull and starts another one.
func TestPullGoesOnLater(t *testing.T) {
	t.Parallel()
	s := goodServer(t)
	c := s.config(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.cuts = 1
	c.Progress = func(done, _ int64) {
		if done >= 60_000 {
			cancel()
		}
	}
	if _, err := Pull(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("Pull: error %v, want that of the context", err)
	}
	c.Progress = nil
	if _, err := Pull(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	checkPulled(t, c.Out, digest(s.file))
	if last := s.ranges[len(s.ranges)-1]; !strings.HasPrefix(last, "bytes=") {
		t.Errorf("second pull asked for range %q, want it to go on", last)
	}
}

// TestPullReplacesForeignPart starts from a part that belongs to another file: it must be thrown away.
func TestPullReplacesForeignPart(t *testing.T) {
	t.Parallel()
	for name, part := range map[string][]byte{"shorter": []byte("foreign"), "longer": make([]byte, 1<<20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := goodServer(t)
			c := s.config(t)
			if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.Out+"."+digest(s.file)[:8]+".part", part, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Pull(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			checkPulled(t, c.Out, digest(s.file))
		})
	}
}

func TestPullTwice(t *testing.T) {
	t.Parallel()
	s := goodServer(t)
	c := s.config(t)
	for i, again := range []bool{false, false, true} {
		c.Again = again
		got, err := Pull(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if want := i == 1; got.Already != want {
			t.Errorf("pull %d: Already = %t, want %t", i, got.Already, want)
		}
	}
	if len(s.ranges) != 2 {
		t.Errorf("file was requested %d times, want 2", len(s.ranges))
	}
}

func TestPullRefuses(t *testing.T) {
	t.Parallel()
	file := weightFile(t)
	text := []byte("no weights at all")
	for _, tt := range []struct {
		name  string
		serve func(t *testing.T) *server
		wrong string
	}{
		{"wrong hash", func(t *testing.T) *server { return newServer(t, file, strings.Repeat("0", 64), len(file)) }, "has SHA-256 " + digest(file)},
		{"wrong size", func(t *testing.T) *server { return newServer(t, file, digest(file), 5) }, "want 5"},
		{"no hash", func(t *testing.T) *server { return newServer(t, file, "", len(file)) }, "64 hex digits"},
		{"too large", func(t *testing.T) *server { return newServer(t, file, digest(file), 1<<40) }, "size up to"},
		{"no weights", func(t *testing.T) *server { return newServer(t, text, digest(text), len(text)) }, "not a weight file"},
		{"missing", func(t *testing.T) *server {
			s := goodServer(t)
			s.missing = true
			return s
		}, "404"},
		{"always cut", func(t *testing.T) *server {
			s := goodServer(t)
			s.dead = true
			return s
		}, "download http"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tt.serve(t).config(t)
			_, err := Pull(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("Pull: error %v, want one with %q", err, tt.wrong)
			}
			if _, err := os.Stat(c.Out); err == nil {
				t.Errorf("%s is there after an error", c.Out)
			}
		})
	}
}

// TestPullKeepsOldOnError checks that weights that work are not lost to a pull that does not.
func TestPullKeepsOldOnError(t *testing.T) {
	t.Parallel()
	s := goodServer(t)
	c := s.config(t)
	if _, err := Pull(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.file = append([]byte(nil), s.file...)
	s.file[len(s.file)-1] ^= 1
	s.mu.Unlock()
	c.Again = true
	if _, err := Pull(t.Context(), c); err == nil {
		t.Error("Pull of a changed file gave no error")
	}
	checkPulled(t, c.Out, digest(weightFile(t, 1, 2, 3)))
}

func TestPullWithoutRoom(t *testing.T) {
	t.Parallel()
	s := goodServer(t)
	c := s.config(t)
	c.Out = filepath.Join(t.TempDir(), "file", "w.safetensors")
	if err := os.WriteFile(filepath.Dir(c.Out), nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	if _, err := Pull(t.Context(), c); err == nil || !strings.Contains(err.Error(), "folder for weights") {
		t.Errorf("Pull: error %v, want one about the folder", err)
	}
}

// TestDownloadDiskFull checks that a full disk ends a download at once.
func TestDownloadDiskFull(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full, the device that is always full")
	}
	s := goodServer(t)
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := download{client: s.Client(), url: s.URL + "/sub/w.bin", idle: time.Minute, tries: 5,
		progress: func(int64, int64) {}, notify: func(string) {}}
	err = d.repeat(t.Context(), f)
	if !isFinal(err) || len(s.ranges) > 1 {
		t.Errorf("download to a full disk: error %v after %d requests, want one after 1", err, len(s.ranges))
	}
}

func TestMirrorFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := weightFile(t)
	index := fmt.Sprintf(`{"default":"w.bin","weights":"tiny","source":"a test","licence":"free","files":[{"name":"w.bin","bytes":%d,"sha256":%q}]}`,
		len(file), digest(file))
	for name, data := range map[string][]byte{"w.bin": file, "models.json": []byte(index)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "new", "w.safetensors")
	if _, err := Pull(t.Context(), PullConfig{Mirror: dir, Out: out, convert: convertTiny}); err != nil {
		t.Fatal(err)
	}
	checkPulled(t, out, digest(file))
	file[len(file)-1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pull(t.Context(), PullConfig{Mirror: dir, Out: out, Again: true}); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("Pull of a changed file: error %v, want one about its SHA-256", err)
	}
}

func TestParseIndexRefuses(t *testing.T) {
	t.Parallel()
	for in, wrong := range map[string]string{
		`{`:                          "unexpected end",
		`{}`:                         `default is ""`,
		`{"default":"../secret"}`:    `default is "../secret"`,
		`{"default":"a","files":[]}`: "not in the list of files",
		`{"default":"a","files":[{"name":"a","bytes":1,"sha256":"12"}]}`:                                 "64 hex digits",
		`{"default":"a","files":[{"name":"a","bytes":1,"sha256":"` + strings.Repeat("../", 21) + `a"}]}`: "64 hex digits",
		`{"default":".."}`:                                             `default is ".."`,
		`{"default":"a","weights":"\u001b[2J"}`:                        `weights is "\x1b[2J", want at most 512 bytes without control characters`,
		`{"default":"a","licence":"` + strings.Repeat("x", 513) + `"}`: "licence is \"xxx",
	} {
		if _, err := parseIndex([]byte(in)); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("parseIndex(%s): error %v, want one with %q", in, err, wrong)
		}
	}
}

func TestPullRealMirror(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "w.safetensors")
	p, err := Pull(t.Context(), PullConfig{Mirror: testutil.Shared(t, "models"), Out: out})
	if err != nil {
		t.Fatal(err)
	}
	if p.Source.Weights != "resnet18-ktb" {
		t.Errorf("pulled %q, want resnet18-ktb", p.Source.Weights)
	}
	set, err := weights.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if set.Name() != "resnet18-ktb" || len(set.Tensors) != 102 {
		t.Errorf("name %q, %d tensors, want resnet18-ktb and 102", set.Name(), len(set.Tensors))
	}
}
