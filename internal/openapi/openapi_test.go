package openapi

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// descriptions are those of the servers, whose packages are not imported here.
func descriptions(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, server := range []string{"dispatch", "replica"} {
		text, err := os.ReadFile("../../" + server + "/openapi.yaml")
		if err != nil {
			t.Fatal(err)
		}
		all[server] = text
	}
	return all
}

// TestPage checks that the page has each operation, schema and field, and that its links lead somewhere.
func TestPage(t *testing.T) {
	t.Parallel()
	for server, text := range descriptions(t) {
		mux := access.NewMux(nil, nil)
		Add(mux, text)
		get := func(path string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != http.StatusOK {
				t.Errorf("%s: GET %s = %d", server, path, w.Code)
			}
			return w
		}
		w := get("/docs")
		html := w.Body.String()
		if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy %q", server, policy)
		}
		var raw struct {
			Paths map[string]map[string]struct {
				OperationID string `yaml:"operationId"`
			}
			Components struct {
				Schemas map[string]struct{ Properties map[string]any }
			}
		}
		// Entries that are lists, such as common parameters, are left out.
		_ = yaml.Unmarshal(text, &raw)
		count := 0
		for path, operations := range raw.Paths {
			for method, o := range operations {
				if o.OperationID == "" {
					continue
				}
				count++
				if want := `<h3 id="` + o.OperationID + `"><span class="method">` + strings.ToUpper(method) + `</span> <code>` + path; !strings.Contains(html, want) {
					t.Errorf("%s: the page lacks %s %s", server, method, path)
				}
			}
		}
		if n := strings.Count(string(text), "operationId:"); n != count {
			t.Errorf("%s: %d operations, %d looked for", server, n, count)
		}
		for name, s := range raw.Components.Schemas {
			_, section, _ := strings.Cut(html, `<h3 id="schema-`+name+`"`)
			section, _, _ = strings.Cut(section, "</article>")
			if section == "" {
				t.Errorf("%s: the page lacks schema %s", server, name)
			}
			for field := range s.Properties {
				if !strings.Contains(section, "<code>"+field+"</code>") {
					t.Errorf("%s: the page lacks %s.%s", server, name, field)
				}
			}
		}
		var ids []string
		for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(html, -1) {
			if slices.Contains(ids, m[1]) {
				t.Errorf("%s: id %s is there twice", server, m[1])
			}
			ids = append(ids, m[1])
		}
		for _, m := range regexp.MustCompile(` (?:href|src|aria-labelledby)="([^"]*)"`).FindAllStringSubmatch(html, -1) {
			target, local := strings.CutPrefix(m[1], "#")
			switch {
			case strings.HasPrefix(m[0], " aria-labelledby"), local:
				if !slices.Contains(ids, target) {
					t.Errorf("%s: %s leads nowhere", server, m[0])
				}
			case strings.ContainsAny(m[1][:1], "/.") || strings.Contains(m[1], ":"):
				t.Errorf("%s: address %s is not relative to the page", server, m[1])
			default:
				get("/" + m[1])
			}
		}
		if got := get("/openapi.yaml"); got.Body.String() != string(text) || got.Header().Get("Content-Type") != "application/yaml" {
			t.Errorf("%s: GET /openapi.yaml: %d bytes, %v", server, got.Body.Len(), got.Header())
		}
		t.Logf("%s: %d bytes", server, len(html))
	}
}

// TestSharedPartsAreEqual checks that what both servers have is described in the same words. Answers to probes differ, and so do headers.
func TestSharedPartsAreEqual(t *testing.T) {
	t.Parallel()
	parts := func(text []byte) map[string]string {
		all := map[string]string{}
		_, components, _ := strings.Cut(string(text), "\ncomponents:\n")
		section := ""
		for _, m := range regexp.MustCompile(`(?m)^  (\w+):\n|^    (\w+):\n(?:     .*\n)*`).FindAllStringSubmatch(components, -1) {
			if m[1] != "" {
				section = m[1]
			} else {
				all[section+"/"+m[2]] = m[0]
			}
		}
		return all
	}
	both := descriptions(t)
	a, b := parts(both["dispatch"]), parts(both["replica"])
	shared := 0
	for name, text := range a {
		other, ok := b[name]
		if !ok || slices.Contains([]string{"schemas/Health", "responses/Ready", "responses/Result", "responses/Error"}, name) {
			continue
		}
		shared++
		if text != other {
			t.Errorf("%s differs:\n%s\n%s", name, text, other)
		}
	}
	if shared < 20 {
		t.Errorf("%d shared parts, want at least 20", shared)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]kind{
		"{type: string}":                                                                            {"string", ""},
		"{$ref: '#/components/schemas/Score'}":                                                      {"", "Score"},
		"{type: array, items: {$ref: '#/components/schemas/Score'}}":                                {"array of ", "Score"},
		"{type: [array, 'null'], items: {type: string}}":                                            {"array of string or null", ""},
		"{type: integer, minimum: 1, maximum: 2000, default: 5}":                                    {"integer, at least 1, at most 2000, default 5", ""},
		"{type: string, enum: [interactive, bulk]}":                                                 {"string: interactive, bulk", ""},
		"{oneOf: [{$ref: '#/components/schemas/Result'}, {$ref: '#/components/schemas/Accepted'}]}": {"Result or ", "Accepted"},
		"{type: string, format: uuid}":                                                              {"string (uuid)", ""},
		"{type: string, const: image}":                                                              {"string: image", ""},
		"{type: boolean, default: false}":                                                           {"boolean, default false", ""},
		"{}":                                                                                        {"any", ""},
		"{type: array, items: {type: array, items: {type: [number, string]}}}":                      {"array of array of number or string", ""},
	} {
		var s schema
		if err := yaml.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if got := kindOf(&s); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestBrokenDescriptions checks that what cannot be shown is an error, and no page.
func TestBrokenDescriptions(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no YAML":      "{",
		"no mapping":   "paths: [a]",
		"no parameter": "tags: [{name: a}]\npaths:\n  /a:\n    get:\n      tags: [a]\n      parameters: [{$ref: '#/components/parameters/A'}]\n",
		"no body":      "tags: [{name: a}]\npaths:\n  /a:\n    get:\n      tags: [a]\n      requestBody: {$ref: '#/components/requestBodies/A'}\n",
		"no response":  "tags: [{name: a}]\npaths:\n  /a:\n    get:\n      tags: [a]\n      responses: {'200': {$ref: '#/components/responses/A'}}\n",
	} {
		if html, err := render([]byte(text)); err == nil {
			t.Errorf("%s: no error, and the page is\n%s", name, html)
		}
	}
	html, err := render([]byte("info: {title: '<script>', description: 'a & b'}\n"))
	if err != nil || !strings.Contains(string(html), "&lt;script&gt;: HTTP API") || !strings.Contains(string(html), "a &amp; b") {
		t.Errorf("text is not escaped: %v\n%s", err, html)
	}
}
