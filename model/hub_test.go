package model

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // Git's tags are SHA-1
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// hub is a server like Hugging Face's: small files it sends itself, large ones from another host.
type hub struct {
	*httptest.Server
	storage *httptest.Server
	weights []byte

	mu       sync.Mutex        // guards the fields below
	files    map[string][]byte // by name, for both revisions; nil data is a large file: weights
	commit   string            // of main
	token    string            // needed to read; empty means none
	gated    bool              // the token may not read the model
	cuts     int               // responses of the storage to be cut
	requests []string          // method, path and whether a token was sent
}

const (
	commitA = "1111111111111111111111111111111111111111"
	commitB = "2222222222222222222222222222222222222222"
)

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{weights: weightFile(t, 7), commit: commitA, files: map[string][]byte{
		"config.json":              []byte(`{"model_type": "resnet", "id2label": {"0": "ant", "1": "bee"}}`),
		"preprocessor_config.json": []byte(`{"size": {"shortest_edge": 224}, "image_processor_type": "ConvNextImageProcessor"}`),
		"model.safetensors":        nil,
	}}
	h.storage = httptest.NewServer(http.HandlerFunc(h.store))
	t.Cleanup(h.storage.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ann/ants/resolve/{revision}/{file}", h.resolve)
	mux.HandleFunc("GET /ann/moved/resolve/{revision}/{file}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/ann/ants/resolve/"+r.PathValue("revision")+"/"+r.PathValue("file"), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		// The hub does not say to strangers whether a model exists.
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.WriteHeader(http.StatusUnauthorized)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

// record notes a request.
func (h *hub) record(r *http.Request) {
	line := r.Method + " " + r.URL.Path
	if r.Header.Get("Authorization") != "" {
		line += " with token"
	}
	h.requests = append(h.requests, line)
}

func (h *hub) resolve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record(r)
	refuse := func(status int, reason string) {
		w.Header().Set("X-Error-Code", reason)
		w.Header().Set("X-Error-Message", "words of the server")
		w.WriteHeader(status)
	}
	switch {
	case h.token != "" && r.Header.Get("Authorization") == "":
		refuse(http.StatusUnauthorized, "GatedRepo")
		return
	case h.token != "" && (r.Header.Get("Authorization") != "Bearer "+h.token || h.gated):
		refuse(http.StatusForbidden, "GatedRepo")
		return
	}
	switch r.PathValue("revision") {
	case "main", h.commit, "refs/pr/1":
	default:
		refuse(http.StatusNotFound, "RevisionNotFound")
		return
	}
	w.Header().Set("X-Repo-Commit", h.commit)
	data, ok := h.files[r.PathValue("file")]
	switch {
	case !ok:
		refuse(http.StatusNotFound, "EntryNotFound")
	case data == nil:
		w.Header().Set("X-Linked-Etag", `"`+digest(h.weights)+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(h.weights)))
		http.Redirect(w, r, h.storage.URL+"/blob?signature=secret", http.StatusFound)
	default:
		sum := sha1.Sum(data) //nolint:gosec // as above
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
		http.ServeContent(w, r, "", testTime, bytes.NewReader(data))
	}
}

// store is the other host.
func (h *hub) store(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record(r)
	if h.cuts > 0 {
		h.cuts--
		w = &cutter{w, 60_000}
	}
	http.ServeContent(w, r, "", testTime, bytes.NewReader(h.weights))
}

func (h *hub) config(t *testing.T, from string) PullConfig {
	t.Helper()
	return PullConfig{From: from, Hub: Hub{Endpoint: h.URL + "/", Token: h.token}, Out: filepath.Join(t.TempDir(), "ants.safetensors"), Client: h.Client(),
		Tries: 3, convert: convertTiny}
}

// TestPullFromHub checks what is asked of the hub, that what was fetched says where it is from, and that the token goes to the hub only.
func TestPullFromHub(t *testing.T) {
	t.Parallel()
	resolve := func(method, revision, file, token string) string {
		return method + " /ann/ants/resolve/" + revision + "/" + file + token
	}
	for name, test := range map[string]struct {
		from  string
		token string
		cuts  int
		want  []string
	}{
		"public": {from: "hf:ann/ants", want: []string{
			resolve("HEAD", "main", "model.safetensors", ""), resolve("GET", commitA, "config.json", ""), resolve("GET", commitA, "preprocessor_config.json", ""),
			resolve("GET", commitA, "model.safetensors", ""), "GET /blob"}},
		"private, by a commit": {from: "hf:ann/ants@" + commitA, token: "hf_secret", want: []string{
			resolve("HEAD", commitA, "model.safetensors", " with token"), resolve("GET", commitA, "config.json", " with token"),
			resolve("GET", commitA, "preprocessor_config.json", " with token"), resolve("GET", commitA, "model.safetensors", " with token"), "GET /blob"}},
		"cut": {from: "hf:ann/ants@refs/pr/1", cuts: 1, want: []string{
			resolve("HEAD", "refs/pr/1", "model.safetensors", ""), resolve("GET", commitA, "config.json", ""), resolve("GET", commitA, "preprocessor_config.json", ""),
			resolve("GET", commitA, "model.safetensors", ""), "GET /blob", resolve("GET", commitA, "model.safetensors", ""), "GET /blob"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t)
			h.token, h.cuts = test.token, test.cuts
			c := h.config(t, test.from)
			c.convert = func(in, out string, source Source, o Options) error {
				for name, data := range h.files {
					if got, err := os.ReadFile(filepath.Join(filepath.Dir(in), name)); err != nil || data != nil && !bytes.Equal(got, data) {
						t.Errorf("%s beside the weights: %q, %v", name, got, err)
					}
				}
				return convertTiny(in, out, source, o)
			}
			p, err := Pull(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Pull(t.Context(), c); err != nil || !again.Already || p.Already {
				t.Errorf("second pull: %+v, %v, want it to be there", again, err)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if got := h.requests[:min(len(test.want), len(h.requests))]; !slices.Equal(got, test.want) {
				t.Errorf("requests\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			metadata := metadataOf(t, c.Out)
			if metadata[weights.MetaRevision] != commitA || metadata[weights.MetaOrigin] != digest(h.weights) ||
				metadata[weights.MetaWeights] != "ann/ants" || metadata[weights.MetaSource] != h.URL+"/ann/ants" {
				t.Errorf("metadata %v", metadata)
			}
			if left, err := os.ReadDir(filepath.Dir(c.Out)); err != nil || len(left) != 1 {
				t.Errorf("folder has %v, %v, want one file", left, err)
			}
		})
	}
}

// TestPullFromHubAgain checks that a new commit is fetched even if its weights are the same: its labels may differ.
func TestPullFromHubAgain(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	c := h.config(t, h.URL+"/ann/ants") // the URL of the model's page
	if _, err := Pull(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.commit = commitB
	h.mu.Unlock()
	if p, err := Pull(t.Context(), c); err != nil || p.Already || metadataOf(t, c.Out)[weights.MetaRevision] != commitB {
		t.Errorf("%+v, %v, want the new commit", p, err)
	}
}

// TestPullOtherFilesFromHub checks models without some of the files.
func TestPullOtherFilesFromHub(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.files = map[string][]byte{"pytorch_model.bin": nil}
	if p, err := Pull(t.Context(), h.config(t, "hf:ann/ants")); err != nil || !strings.HasSuffix(p.Source.Location, commitA+"/pytorch_model.bin") {
		t.Errorf("%+v, %v, want pytorch_model.bin", p, err)
	}
	// A renamed model, and weights that are no large file: their tag is no SHA-256.
	h = newHub(t)
	h.files["model.safetensors"] = h.weights
	if p, err := Pull(t.Context(), h.config(t, "hf:ann/moved")); err != nil || p.Source.SHA256 != "" || p.Source.Bytes != int64(len(h.weights)) || p.Source.Revision != commitA {
		t.Errorf("%+v, %v, want the file without a digest", p, err)
	}
}

func TestPullFromHubRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		from    string
		change  func(*hub, *PullConfig)
		problem string
	}{
		"no such model":     {"hf:ann/bees", nil, "server responded 401 Unauthorized: the model is private, wants its terms accepted, or does not exist; to read it, set HF_TOKEN"},
		"no such revision":  {"hf:ann/ants@v2", nil, "there is no revision v2"},
		"private":           {"hf:ann/ants", func(h *hub, _ *PullConfig) { h.token = "x" }, "set HF_TOKEN to a token of yours"},
		"wrong token":       {"hf:ann/ants", func(h *hub, c *PullConfig) { h.token, c.Hub.Token = "x", "y" }, "403 Forbidden: the token of HF_TOKEN may not read this model"},
		"terms":             {"hf:ann/ants", func(h *hub, c *PullConfig) { h.token, h.gated, c.Hub.Token = "x", true, "x" }, "accept its terms on http"},
		"no weights":        {"hf:ann/ants", func(h *hub, _ *PullConfig) { delete(h.files, "model.safetensors") }, "revision main has neither model.safetensors nor pytorch_model.bin"},
		"broken weights":    {"hf:ann/ants", func(h *hub, _ *PullConfig) { h.storage.Config.Handler = http.HandlerFunc(flood) }, "file has more than"},
		"no owner":          {"hf:ants", nil, "want owner/name or owner/name@revision"},
		"a path":            {"hf:../etc@main", nil, "want owner/name or owner/name@revision"},
		"a path at the end": {"hf:ann/ants@../../x", nil, "want owner/name or owner/name@revision"},
		"no revision":       {"hf:ann/ants@", nil, "want owner/name or owner/name@revision"},
		"endpoint":          {"hf:ann/ants", func(_ *hub, c *PullConfig) { c.Hub.Endpoint = "huggingface.co" }, `endpoint of the hub "huggingface.co": want a URL`},
		"endless config": {"hf:ann/ants", func(h *hub, _ *PullConfig) { h.files["config.json"] = make([]byte, 5<<20) },
			"config.json: it has more than 4194304 bytes"},
		"silent": {"hf:ann/ants", func(h *hub, c *PullConfig) {
			h.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			c.IdleTimeout = 50 * time.Millisecond
		}, "model ann/ants of the hub: server sends nothing"},
		"another scheme": {"ftp://example.com/x.pth", nil, `cannot pull "ftp://example.com/x.pth": want torchvision, hf:owner/name`},
		"a bare name":    {"ants", nil, `cannot pull "ants"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t)
			c := h.config(t, test.from)
			if test.change != nil {
				test.change(h, &c)
			}
			_, err := Pull(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), test.problem) || strings.Contains(err.Error(), "words of") {
				t.Errorf("Pull: %v, want an error with %q", err, test.problem)
			}
			if left, err := os.ReadDir(filepath.Dir(c.Out)); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// TestTokenStaysWithHost sends requests to several hosts, among them one in the hub's domain.
func TestTokenStaysWithHost(t *testing.T) {
	t.Parallel()
	sent := map[string]string{}
	next := roundTrip(func(r *http.Request) (*http.Response, error) {
		sent[r.URL.String()] = r.Header.Get("Authorization")
		response := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: r}
		if r.URL.Host == "hub.example" && r.URL.Path == "/a" {
			response.StatusCode = http.StatusFound
			response.Header.Set("Location", "https://cdn.hub.example/b")
		}
		return response, nil
	})
	h := Hub{Endpoint: "https://hub.example", Token: "x"}
	for _, url := range []string{"https://hub.example/a", "http://hub.example/c", "https://hub.example:444/d", "https://other.example/e"} {
		client := h.client(&http.Client{Transport: next}, Source{Revision: "main"})
		response, err := get(t.Context(), client, url, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	want := map[string]string{"https://hub.example/a": "Bearer x", "https://cdn.hub.example/b": "", "http://hub.example/c": "", "https://hub.example:444/d": "", "https://other.example/e": ""}
	for url, token := range want {
		if got, ok := sent[url]; !ok || got != token {
			t.Errorf("%s: sent %t with %q, want %q", url, ok, got, token)
		}
	}
	if c := h.client(http.DefaultClient, Torchvision()); c != http.DefaultClient {
		t.Error("a client with the token for a source that is not of the hub")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPullURL fetches a file whose digest is not known in advance, with a break and another version of the file after it.
func TestPullURL(t *testing.T) {
	t.Parallel()
	file := weightFile(t, 1)
	var mu sync.Mutex
	var ranges []string
	version, cut := 1, true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		ranges = append(ranges, r.Header.Get("Range")+r.Header.Get("If-Range"))
		w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, version))
		if cut {
			cut, version = false, 2
			w = &cutter{w, 60_000}
		}
		http.ServeContent(w, r, "", testTime, bytes.NewReader(file))
	}))
	t.Cleanup(s.Close)
	c := PullConfig{From: s.URL + "/models/mine.pth.tar?token=secret", Client: s.Client(), convert: convertTiny, Out: filepath.Join(t.TempDir(), "x")}
	p, err := Pull(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if p.Source.Weights != "mine" || p.Source.Origin != s.URL+"/models/mine.pth.tar" {
		t.Errorf("source %+v", p.Source)
	}
	mu.Lock()
	if want := []string{"", `bytes=60000-"v1"`}; !slices.Equal(ranges, want) {
		t.Errorf("ranges %q, want %q", ranges, want)
	}
	mu.Unlock()
	if got := metadataOf(t, c.Out)[weights.MetaOrigin]; got != digest(file) {
		t.Errorf("origin %s, want %s", got, digest(file))
	}
	for from, problem := range map[string]string{s.URL + "/": "has no file name", "https://user:secret@127.0.0.1:1/x?secret": "download https://127.0.0.1:1/x: "} {
		c := PullConfig{From: from, Client: s.Client(), convert: convertTiny, Tries: 1, Out: filepath.Join(t.TempDir(), "x")}
		if _, err := Pull(t.Context(), c); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("Pull(%s): %v, want an error with %q", from, err, problem)
		}
	}
	c.SHA256 = strings.Repeat("0", 64)
	if _, err := Pull(t.Context(), c); err == nil || !strings.Contains(err.Error(), "/models/mine.pth.tar has SHA-256 "+digest(file)) || strings.Contains(err.Error(), "secret") {
		t.Errorf("wrong digest: %v", err)
	}
	c.SHA256 = "12"
	if _, err := Pull(t.Context(), c); err == nil || !strings.Contains(err.Error(), "want 64 hex digits") {
		t.Errorf("no digest: %v", err)
	}
}

// TestPullPlaces checks where models go without Out.
func TestPullPlaces(t *testing.T) {
	t.Parallel()
	dir, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"": "resnet18.safetensors", "torchvision": "resnet18.safetensors", "hf:ann/ants": "models/ann--ants.safetensors"} {
		got, err := PullConfig{From: from}.out(Source{Weights: "ann/ants"})
		if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%q goes to %s, %v, want %s", from, got, err, want)
		}
	}
}
