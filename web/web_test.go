package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/resnet18cloud/resnet18cloud/web"
)

func handler(t *testing.T, images fs.FS) http.Handler {
	t.Helper()
	h, err := web.Handler(web.Config{Images: images})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

type sample struct {
	Name, Title, URL, Small string
	Hidden                  bool
}

func samples(t *testing.T, h http.Handler) []sample {
	t.Helper()
	var list []sample
	if err := json.Unmarshal(get(h, "/page/samples.json").Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestPageLoads fetches everything the page names, and checks that it comes from here, with its type.
func TestPageLoads(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	page := get(h, "/")
	if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "<title>ResNet18Cloud</title>") {
		t.Fatalf("GET / = %d\n%s", page.Code, page.Body)
	}
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'self'") {
		t.Errorf("Content-Security-Policy %q", policy)
	}
	types := map[string]string{"js": "text/javascript", "svg": "image/svg+xml"}
	assets := regexp.MustCompile(`(?:src|href)="(page/[^"]*\.(\w+))"`).FindAllStringSubmatch(page.Body.String(), -1)
	if len(assets) < 3 {
		t.Fatalf("the page names %d assets, want scripts and icon", len(assets))
	}
	for _, a := range assets {
		w := get(h, "/"+a[1])
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(got, types[a[2]]) {
			t.Errorf("GET %s = %d, Content-Type %q, want %s", a[1], w.Code, got, types[a[2]])
		}
	}
}

// TestScriptFindsItsElements checks that each element the script asks for by id is in the page.
func TestScriptFindsItsElements(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	page, script := get(h, "/").Body.String(), get(h, "/page/app.js").Body.String()+get(h, "/page/shared.js").Body.String()
	ids := regexp.MustCompile(`\$\("([\w-]+)"\)`).FindAllStringSubmatch(script, -1)
	if len(ids) == 0 {
		t.Fatal("the script asks for no element")
	}
	for _, id := range ids {
		if !strings.Contains(page, fmt.Sprintf("id=%q", id[1])) {
			t.Errorf("the script asks for %q, which the page does not have", id[1])
		}
	}
}

// TestOtherPathsAreNotFound checks that what is no file of the page is the client's mistake, and that no folder is listed.
func TestOtherPathsAreNotFound(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	for _, path := range []string{"/page/", "/page/samples", "/page/samples/", "/page/none.js", "/page/%ff%fe", "/page/app.js&a=%ff", "/page/a%00b",
		"/page/%2e%2e/web.go", "/page/app.js/", "/page/samples/%ff", "/page/" + strings.Repeat("n", 5000)} {
		if w := get(h, path); w.Code != http.StatusNotFound && w.Code != http.StatusTemporaryRedirect && w.Code != http.StatusMovedPermanently {
			t.Errorf("GET %.40s = %d, want 404", path, w.Code)
		}
	}
}

func TestDrawings(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	list := samples(t, h)
	if len(list) == 0 {
		t.Fatal("no drawings")
	}
	for _, s := range list {
		if w := get(h, "/"+s.URL); w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "image/svg+xml") {
			t.Errorf("GET %s = %d %s", s.URL, w.Code, w.Header().Get("Content-Type"))
		}
		if !strings.HasSuffix(s.Name, ".jpg") || s.Title == "" || strings.ContainsAny(s.Title, "-.") {
			t.Errorf("sample %+v, want the name of a JPEG and a title in words", s)
		}
	}
}

// TestFolder offers pictures of a folder instead: some of many, and nothing else of it.
func TestFolder(t *testing.T) {
	t.Parallel()
	folder := fstest.MapFS{"notes.txt": {Data: []byte("private")}, "x/n01531178_goldfinch.JPEG": {}}
	for i := range 100 {
		folder[fmt.Sprintf("n%08d_great_grey_owl.JPEG", i)] = &fstest.MapFile{Data: []byte("\xff\xd8\xff")}
	}
	h := handler(t, folder)
	list := samples(t, h)
	var offered int
	for _, s := range list {
		if !s.Hidden {
			offered++
		}
		if s.Hidden != strings.HasSuffix(s.URL, ".svg") {
			t.Errorf("sample %+v: want drawings hidden beside photographs", s)
		}
	}
	if offered == 0 || offered > 50 || offered == len(list) {
		t.Fatalf("%d of %d samples are offered, want a few photographs, and drawings for links", offered, len(list))
	}
	if s := list[0]; s.Title != "great grey owl" || s.Name != "n00000000_great_grey_owl.JPEG" {
		t.Errorf("first sample %+v", s)
	}
	if w := get(h, "/"+list[1].URL); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/jpeg" {
		t.Errorf("GET %s = %d %s", list[1].URL, w.Code, w.Header().Get("Content-Type"))
	}
	for _, path := range []string{"notes.txt", "x%2Fn01531178_goldfinch.JPEG", "n00000001_great_grey_owl.JPEG"} {
		if w := get(h, "/page/samples/"+path); w.Code != http.StatusNotFound {
			t.Errorf("GET a file that is not offered, %s = %d", path, w.Code)
		}
	}
	if len(samples(t, handler(t, fstest.MapFS{}))) == 0 {
		t.Error("an empty folder: no drawings")
	}
}

// TestAssetsAreSmall checks that files are compressed, that a browser which has them gets 304, and the size of all.
func TestAssetsAreSmall(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	ask := func(path, accept, has string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", accept)
		r.Header.Set("If-None-Match", has)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	total := 0
	for _, path := range []string{"/", "/page/app.js", "/page/batch.js", "/page/shared.js", "/page/icon.svg", "/page/samples/candle.svg"} {
		plain, packed := ask(path, "gzip;q=0, br", ""), ask(path, "br, gzip", "")
		total += packed.Body.Len()
		if plain.Header().Get("Content-Encoding") != "" || plain.Code != http.StatusOK {
			t.Errorf("GET %s without gzip = %d, %v", path, plain.Code, plain.Header())
		}
		if packed.Body.Len() > plain.Body.Len() || packed.Header().Get("ETag") == "" || packed.Header().Get("Content-Type") != plain.Header().Get("Content-Type") {
			t.Errorf("GET %s: %d bytes of %d, %v", path, packed.Body.Len(), plain.Body.Len(), packed.Header())
		}
		if w := ask(path, "br, gzip", packed.Header().Get("ETag")); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("GET %s again = %d, want 304", path, w.Code)
		}
	}
	if total > 25_000 {
		t.Errorf("the page has %d bytes compressed, want at most 25,000", total)
	}
	t.Logf("%d bytes compressed", total)
}

// TestTextIsNoMarkup checks that scripts put text into the page as text: names of files, labels, addresses and reasons come from
// others.
func TestTextIsNoMarkup(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	for _, name := range []string{"app.js", "batch.js", "dashboard.js", "shared.js"} {
		w := get(h, "/page/"+name)
		if m := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|DOMParser|srcdoc|\beval\b|createContextualFragment`).FindString(w.Body.String()); m != "" || w.Code != http.StatusOK {
			t.Errorf("%s has %q, which takes text for HTML or script (status %d)", name, m, w.Code)
		}
	}
}

// TestAddressesAreRelative checks that the page works below any path.
func TestAddressesAreRelative(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	if m := regexp.MustCompile(`(?:src|href)="/[^"]*"`).FindString(get(h, "/").Body.String()); m != "" {
		t.Errorf("the page names %s", m)
	}
	for _, name := range []string{"app.js", "batch.js", "shared.js"} {
		if m := regexp.MustCompile("(?:api|fetch)\\([\"`]/.*").FindString(get(h, "/page/"+name).Body.String()); m != "" {
			t.Errorf("%s requests %s", name, m)
		}
	}
}

// TestStyleIsInside checks that a browser can show each page after one response, and that the policy permits its style sheet
// and no other.
func TestStyleIsInside(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	for path, file := range map[string]string{"/": "style.css", "/dashboard": "dashboard.css"} {
		w := get(h, path)
		_, rest, _ := strings.Cut(w.Body.String(), "<style>")
		style, _, inside := strings.Cut(rest, "</style>")
		if !inside || style != get(h, "/page/"+file).Body.String() {
			t.Errorf("GET %s does not have %s inside", path, file)
		}
		if strings.Contains(w.Body.String(), "stylesheet") {
			t.Errorf("GET %s has another style sheet, which delays it", path)
		}
		hash := sha256.Sum256([]byte(style))
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'") || strings.Contains(policy, "unsafe") {
			t.Errorf("GET %s has the policy %s", path, policy)
		}
		if script := regexp.MustCompile(`<script[^>]*>`).FindAllString(w.Body.String(), -1); len(script) != 1 || !strings.Contains(script[0], `type="module"`) {
			t.Errorf("GET %s has the scripts %q, of which only modules wait for the page", path, script)
		}
	}
}

// TestLimitIsNamed checks that the page names the server's limit on images.
func TestLimitIsNamed(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]string{0: "or WebP.", 1_500_000: "or WebP, up to 1.431 MiB."} {
		h, err := web.Handler(web.Config{MaxImageBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		if body := get(h, "/").Body.String(); !strings.Contains(body, want) {
			t.Errorf("a limit of %d bytes: the page does not say %q", limit, want)
		}
	}
}

// TestThumbnails checks that the page shows small pictures, made once each, and the file where there can be none.
func TestThumbnails(t *testing.T) {
	t.Parallel()
	folder := fstest.MapFS{"a b.JPEG": {Data: []byte("photograph")}, "broken.jpg": {Data: []byte("broken")},
		"huge.png": {Data: make([]byte, 17<<20)}, "notes.txt": {Data: []byte("private")}}
	var made atomic.Int32
	h, err := web.Handler(web.Config{Images: folder, Thumbnail: func(file []byte) ([]byte, error) {
		made.Add(1)
		if string(file) != "photograph" {
			return nil, errors.New("it cannot be decoded")
		}
		return []byte("small"), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a b.JPEG": "small", "broken.jpg": "broken"}
	var asked sync.WaitGroup
	for _, s := range samples(t, h) {
		if s.Hidden {
			if s.Small != s.URL {
				t.Errorf("drawing %+v has a small picture", s)
			}
			continue
		}
		for range 2 {
			asked.Go(func() {
				w := get(h, "/"+s.Small)
				if body := w.Body.String(); w.Code != http.StatusOK || s.Name != "huge.png" && body != want[s.Name] || s.Name == "huge.png" && len(body) != 17<<20 {
					t.Errorf("GET %s = %d, %.20q", s.Small, w.Code, body)
				}
			})
		}
		if w := get(h, "/"+s.URL); w.Body.String() != string(folder[s.Name].Data) {
			t.Errorf("GET %s is not the file", s.URL)
		}
	}
	asked.Wait()
	if n := made.Load(); n != 2 {
		t.Errorf("pictures were scaled %d times, want once each", n)
	}
	for _, name := range []string{"notes.txt", "none.jpg", "candle.svg", "..%2Fa"} {
		if w := get(h, "/page/thumbnails/"+name); w.Code != http.StatusNotFound {
			t.Errorf("GET a small picture of %s = %d", name, w.Code)
		}
	}
}
