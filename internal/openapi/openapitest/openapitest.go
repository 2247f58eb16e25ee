// Package openapitest checks servers against their descriptions in OpenAPI 3.1: responses, and the list of endpoints. Only
// tests import it. Schemas of OpenAPI 3.1 are those of JSON Schema 2020-12, which a library checks.
package openapitest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// everywhere are the headers that any response may have, so that descriptions leave them out.
var everywhere = []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Cache-Control", "Connection", "Content-Length",
	"Content-Type", "Date", "Traceparent", "Vary", "X-Content-Type-Options", "X-Request-Id"}

var (
	placeholder = regexp.MustCompile(`\{(\w+)\}`) // in a path
	number      = regexp.MustCompile(`^\d+$`)
)

// Description is a description that responses can be checked against. It is safe for concurrent use.
type Description struct {
	operations []operation // the more literal path first
}

// operation is one method of a path.
type operation struct {
	method, path string
	pattern      *regexp.Regexp
	responses    map[string]response
}

// response has nil for media types whose content is not JSON.
type response struct {
	headers map[string]*jsonschema.Schema // by canonical name
	content map[string]*jsonschema.Schema // by media type
}

// object is a mapping of the description.
type object = map[string]any

// reader reads a description.
type reader struct {
	root     object
	compiler *jsonschema.Compiler
	problems []error
}

const resource = "description.json"

// Read reads a description. It returns an error if a part that responses need is missing, a reference leads nowhere, a schema
// is not valid, or operations do not have an ID each.
func Read(description []byte) (*Description, error) {
	text, err := yaml.YAMLToJSONStrict(description)
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	closeObjects(doc)
	r := reader{compiler: jsonschema.NewCompiler()}
	r.root, _ = doc.(object)
	r.compiler.DefaultDraft(jsonschema.Draft2020)
	r.compiler.AssertFormat()
	if err := r.compiler.AddResource(resource, doc); err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	d := r.read()
	if len(r.problems) > 0 {
		return nil, fmt.Errorf("read the description: %w", errors.Join(r.problems...))
	}
	return d, nil
}

// closeObjects makes schemas with properties refuse others: a server must not send what is not described, although clients
// must ignore it.
func closeObjects(v any) {
	switch v := v.(type) {
	case object:
		if _, ok := v["properties"].(object); ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

func (r *reader) fail(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

// follow returns the object at a place in the description, or the one that it refers to, and its place.
func (r *reader) follow(v any, at string) (o object, where string) {
	o, _ = v.(object)
	ref, ok := o["$ref"].(string)
	if !ok {
		return o, at
	}
	where, local := strings.CutPrefix(ref, "#")
	found := any(r.root)
	for name := range strings.SplitSeq(strings.TrimPrefix(where, "/"), "/") {
		inner, _ := found.(object)
		found = inner[name]
	}
	o, _ = found.(object)
	if !local || o == nil {
		r.fail("%s: %s leads nowhere", at, ref)
	}
	return o, where
}

// schema compiles the schema of an object, if it has one.
func (r *reader) schema(o object, at string) *jsonschema.Schema {
	if o["schema"] == nil {
		return nil
	}
	s, err := r.compiler.Compile(resource + "#" + at + "/schema")
	if err != nil {
		r.fail("%s: %w", at, err)
	}
	return s
}

// escape escapes a name in a JSON pointer in a URL.
func escape(name string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}

func (r *reader) read() *Description {
	if v, _ := r.root["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		r.fail("version %q of OpenAPI, want 3.1", v)
	}
	components, _ := r.root["components"].(object)
	for kind, all := range components { // also those that no response refers to
		all, _ := all.(object)
		for name := range all {
			if at := "/components/" + kind + "/" + name; kind == "schemas" {
				if _, err := r.compiler.Compile(resource + "#" + at); err != nil {
					r.fail("%s: %w", at, err)
				}
			}
		}
	}
	d := &Description{}
	ids := map[any]bool{}
	paths, _ := r.root["paths"].(object)
	for path, item := range paths {
		item, at := r.follow(item, "/paths/"+escape(path))
		for _, method := range []string{"get", "put", "post", "delete", "patch"} {
			o, ok := item[method].(object)
			if !ok {
				continue
			}
			if id := o["operationId"]; id == nil || ids[id] {
				r.fail("%s %s: the operation has no ID of its own", method, path)
			}
			ids[o["operationId"]] = true
			d.operations = append(d.operations, r.operation(strings.ToUpper(method), path, item, o, at+"/"+method))
		}
	}
	slices.SortFunc(d.operations, func(a, b operation) int {
		literal := func(o operation) int { return len(placeholder.ReplaceAllString(o.path, "")) }
		return cmp.Or(literal(b)-literal(a), strings.Compare(a.path, b.path))
	})
	return d
}

func (r *reader) operation(method, path string, item, o object, at string) operation {
	op := operation{method: method, path: path, responses: map[string]response{}}
	var inPath []string
	common, _ := item["parameters"].([]any)
	own, _ := o["parameters"].([]any)
	for _, p := range slices.Concat(common, own) {
		p, where := r.follow(p, at)
		name, _ := p["name"].(string)
		if p["in"] == "path" {
			inPath = append(inPath, name)
		}
		if name == "" || p["schema"] == nil {
			r.fail("%s: the parameter has no name or no schema", where)
		}
	}
	pattern := regexp.QuoteMeta(path)
	for _, m := range placeholder.FindAllStringSubmatch(path, -1) {
		pattern = strings.Replace(pattern, regexp.QuoteMeta(m[0]), `[^/]+`, 1)
		if !slices.Contains(inPath, m[1]) {
			r.fail("%s: %s is no parameter", at, m[0])
		}
	}
	op.pattern = regexp.MustCompile("^" + pattern + "$")
	if o["requestBody"] != nil {
		b, where := r.follow(o["requestBody"], at+"/requestBody")
		r.content(b, where)
	}
	responses, _ := o["responses"].(object)
	for status, v := range responses {
		v, where := r.follow(v, at+"/responses/"+status)
		shown := response{headers: map[string]*jsonschema.Schema{}, content: r.content(v, where)}
		headers, _ := v["headers"].(object)
		for name, h := range headers {
			h, _ := h.(object)
			shown.headers[http.CanonicalHeaderKey(name)] = r.schema(h, where+"/headers/"+name)
		}
		op.responses[status] = shown
	}
	return op
}

// content returns the schemas of an object with content, by media type.
func (r *reader) content(o object, at string) map[string]*jsonschema.Schema {
	all := map[string]*jsonschema.Schema{}
	content, _ := o["content"].(object)
	for mediaType, c := range content {
		c, _ := c.(object)
		s := r.schema(c, at+"/content/"+escape(mediaType))
		if !isJSON(mediaType) {
			s = nil
		}
		all[mediaType] = s
	}
	return all
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// Check returns an error if a response does not agree with the description. What is not described may be answered with 404 or
// 405 only; profiles have no description.
func (d *Description) Check(r *http.Request, status int, header http.Header, body []byte) error {
	if r.Method == http.MethodHead || r.Method == http.MethodOptions || strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
		return nil
	}
	err := d.check(r, status, header, body)
	if err != nil {
		return fmt.Errorf("the description does not agree with %s %s = %d %.300s: %w", r.Method, r.URL, status, body, err)
	}
	return nil
}

func (d *Description) check(r *http.Request, status int, header http.Header, body []byte) error {
	i := slices.IndexFunc(d.operations, func(o operation) bool { return o.method == r.Method && o.pattern.MatchString(r.URL.Path) })
	if i < 0 {
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			return nil
		}
		return errors.New("there is no such operation")
	}
	o := d.operations[i]
	want, ok := o.responses[fmt.Sprint(status)]
	if !ok && status >= http.StatusBadRequest {
		want, ok = o.responses["default"]
	}
	if !ok {
		return fmt.Errorf("%s has no response %d", o.path, status)
	}
	for name, values := range header {
		s, ok := want.headers[name]
		if !ok && !slices.Contains(everywhere, name) {
			return fmt.Errorf("%s %d has no header %s", o.path, status, name)
		}
		if s != nil && s.Validate(valueOf(values[0])) != nil {
			return fmt.Errorf("%s %d: header %s: %s: %w", o.path, status, name, values[0], s.Validate(valueOf(values[0])))
		}
	}
	if len(want.content) == 0 && len(body) == 0 {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", header.Get("Content-Type"), err)
	}
	s, ok := want.content[mediaType]
	switch {
	case !ok:
		return fmt.Errorf("%s %d has no content of type %s", o.path, status, mediaType)
	case s == nil:
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	return s.Validate(v)
}

// valueOf is a header's value for a schema: a number if it looks like one.
func valueOf(text string) any {
	if number.MatchString(text) {
		return json.Number(text)
	}
	return text
}

// CheckRoutes reports an error of the test if the patterns of a server, such as "GET /result/{id}", are not those of the
// description. Those in hidden have none, nor have those below one that ends in a slash.
func (d *Description) CheckRoutes(tb testing.TB, patterns []string, hidden ...string) {
	tb.Helper()
	var described []string
	for _, o := range d.operations {
		path, _, _ := strings.Cut(o.path, ":") // a verb after a segment is part of the segment to net/http
		described = append(described, o.method+" "+path)
	}
	for _, p := range patterns {
		isHidden := slices.ContainsFunc(hidden, func(h string) bool {
			return p == h || strings.HasSuffix(h, "/") && strings.HasPrefix(p, h)
		})
		if slices.Contains(described, p) == isHidden {
			tb.Errorf("endpoint %s: described %t, want %t", p, isHidden, !isHidden)
		}
	}
	for _, p := range described {
		if !slices.Contains(patterns, p) {
			tb.Errorf("endpoint %s is described, and the server does not have it", p)
		}
	}
}
