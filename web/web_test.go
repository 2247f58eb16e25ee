package web_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/resnet18cloud/resnet18cloud/web"
)

func handler(t *testing.T, images fs.FS) http.Handler {
	t.Helper()
	h, err := web.Handler(images)
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
	Name, Title, URL string
	Hidden           bool
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
	types := map[string]string{"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
	assets := regexp.MustCompile(`(?:src|href)="(page/[^"]*\.(\w+))"`).FindAllStringSubmatch(page.Body.String(), -1)
	if len(assets) < 3 {
		t.Fatalf("the page names %d assets, want style, script and icon", len(assets))
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
	for _, path := range []string{"/", "/page/app.js", "/page/batch.js", "/page/shared.js", "/page/style.css", "/page/icon.svg", "/page/samples/candle.svg"} {
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
