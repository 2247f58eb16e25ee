package openapitest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const description = `
openapi: 3.1.0
paths:
  /jobs/{id}:
    parameters:
      - {name: id, in: path, schema: {type: string}}
    get:
      operationId: getJob
      parameters:
        - {name: wait, in: query, schema: {type: string}}
      responses:
        '200':
          headers:
            X-Cache: {schema: {type: string, enum: [HIT, MISS]}}
          content:
            application/json: {schema: {$ref: '#/components/schemas/Job'}}
            text/plain: {schema: {type: string}}
        '204': {}
        default: {$ref: '#/components/responses/Error'}
  /jobs/{id}:stop:
    parameters:
      - {name: id, in: path, schema: {type: string}}
    post:
      operationId: stopJob
      responses:
        '200':
          content:
            application/json: {schema: {type: object, properties: {stopped: {type: boolean}}}}
components:
  responses:
    Error:
      headers:
        Retry-After: {schema: {type: integer}}
      content:
        application/problem+json: {schema: {type: object, properties: {code: {type: string}}}}
  schemas:
    Job:
      type: object
      required: [id]
      properties:
        id: {type: string, format: uuid}
        parts: {type: array, items: {type: object, properties: {count: {type: integer}}}}
`

func TestCheck(t *testing.T) {
	t.Parallel()
	d, err := Read([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	const id = `"id":"f18d7c0a-e37f-4f6c-b214-542dd751b0e3"`
	for name, test := range map[string]struct {
		request string
		status  int
		header  string // the first is the content type
		body    string
		problem string // part of the error; empty means none
	}{
		"agrees":                     {"GET /jobs/1", 200, "application/json; charset=utf-8|X-Cache: HIT|Date: now", `{` + id + `,"parts":[{"count":1}]}`, ""},
		"other media type":           {"GET /jobs/1?wait=1s", 200, "text/plain", "anything", ""},
		"error":                      {"GET /jobs/1?other=1", 503, "application/problem+json|Retry-After: 2", `{"code":"full"}`, ""},
		"nothing":                    {"GET /jobs/1", 204, "", "", ""},
		"verb":                       {"POST /jobs/1:stop", 200, "application/json", `{"stopped":true}`, ""},
		"HEAD":                       {"HEAD /jobs/1", 200, "", "", ""},
		"no such path":               {"GET /none", 404, "text/plain", "", ""},
		"no such method":             {"POST /jobs/1", 405, "text/plain", "", ""},
		"undescribed path":           {"GET /none", 200, "text/plain", "", "no such operation"},
		"undescribed status":         {"GET /jobs/1", 202, "application/json", "{" + id + "}", "no response 202"},
		"undescribed header":         {"GET /jobs/1", 200, "application/json|X-Other: 1", "{" + id + "}", "no header X-Other"},
		"value of a header":          {"GET /jobs/1", 200, "application/json|X-Cache: hit", "{" + id + "}", "header X-Cache: hit"},
		"number in a header":         {"GET /jobs/1", 503, "application/problem+json|Retry-After: soon", "{}", "header Retry-After: soon"},
		"media type":                 {"GET /jobs/1", 200, "text/html", "", "no content of type text/html"},
		"no media type":              {"GET /jobs/1", 200, "", "{}", "content type"},
		"field missing":              {"GET /jobs/1", 200, "application/json", "{}", "missing property 'id'"},
		"undescribed field":          {"GET /jobs/1", 200, "application/json", "{" + id + `,"x":1}`, "'x' not allowed"},
		"inside another":             {"GET /jobs/1", 200, "application/json", "{" + id + `,"parts":[{"x":1}]}`, "'x' not allowed"},
		"type of a field":            {"GET /jobs/1", 200, "application/json", "{" + id + `,"parts":[{"count":"1"}]}`, "got string, want integer"},
		"format of a field":          {"GET /jobs/1", 200, "application/json", `{"id":"1"}`, "not valid uuid"},
		"no JSON":                    {"GET /jobs/1", 200, "application/json", "{", "read the body"},
		"body that is not described": {"GET /jobs/1", 204, "text/plain", "x", "no content of type"},
		"undescribed in error":       {"GET /jobs/1", 503, "application/problem+json", `{"other":1}`, "'other' not allowed"},
	} {
		method, target, _ := strings.Cut(test.request, " ")
		header := http.Header{}
		for i, h := range strings.Split(test.header, "|") {
			name, value, _ := strings.Cut(h, ": ")
			switch {
			case i > 0:
				header.Set(name, value)
			case h != "":
				header.Set("Content-Type", h)
			}
		}
		err := d.Check(httptest.NewRequest(method, target, nil), test.status, header, []byte(test.body))
		if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v, want %q", name, err, test.problem)
		}
	}
}

// TestRead checks that a description with a mistake is an error.
func TestRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"version":        {"3.1.0", "3.0.3"},
		"reference":      {"#/components/responses/Error", "#/components/responses/Eror"},
		"schema":         {"type: array", "type: list"},
		"schema's ref":   {"#/components/schemas/Job", "#/components/schemas/Jobs"},
		"same ID":        {"stopJob", "getJob"},
		"path parameter": {"{name: id, in: path", "{name: name, in: path"},
		"no schema":      {"{name: wait, in: query, schema: {type: string}}", "{name: wait, in: query}"},
		"same key":       {"type: object\n      required", "type: object\n      type: object\n      required"},
		"no YAML":        {"openapi:", "{"},
	} {
		if _, err := Read([]byte(strings.Replace(description, change[0], change[1], 1))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestCheckRoutes checks that differences are errors, in both directions.
func TestCheckRoutes(t *testing.T) {
	t.Parallel()
	d, err := Read([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		patterns []string
		problems int
	}{
		{[]string{"GET /jobs/{id}", "POST /jobs/{id}", "GET /page/x", "GET /page"}, 0},
		{[]string{"GET /jobs/{id}", "POST /jobs/{id}", "GET /page/x", "GET /other"}, 1},
		{[]string{"GET /jobs/{id}"}, 1},
	} {
		var seen counter
		d.CheckRoutes(&seen, test.patterns, "GET /page", "GET /page/")
		if seen.problems != test.problems {
			t.Errorf("%q: %d problems, want %d", test.patterns, seen.problems, test.problems)
		}
	}
}

// counter counts errors of a test.
type counter struct {
	testing.TB
	problems int
}

func (c *counter) Helper()               {}
func (c *counter) Errorf(string, ...any) { c.problems++ }
