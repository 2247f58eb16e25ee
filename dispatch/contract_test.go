package dispatch_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
)

// shape replaces values by the names of their JSON types, so that responses can be compared with a contract.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		s := map[string]any{}
		for k, e := range v {
			s[k] = shape(e)
		}
		return s
	case []any:
		s := make([]any, len(v))
		for i, e := range v {
			s[i] = shape(e)
		}
		return s
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "bool"
	}
	return "null"
}

// holds returns the fields of the contract that are missing in got or have another type. Additional fields are
// allowed.
func holds(t *testing.T, what string, got, contract map[string]any) {
	t.Helper()
	for name, want := range contract {
		g, ok := got[name]
		if !ok {
			t.Errorf("%s lacks %q", what, name)
			continue
		}
		if inner, ok := want.(map[string]any); ok {
			if nested, ok := g.(map[string]any); ok {
				holds(t, what+"."+name, nested, inner)
				continue
			}
		}
		if diff := cmp.Diff(want, shape(g)); diff != "" {
			t.Errorf("%s.%s (-want +got):\n%s", what, name, diff)
		}
	}
}

var (
	fiveLabels   = []any{"string", "string", "string", "string", "string"}
	resultShape  = map[string]any{"filename": "string", "inference_time": "number", "predictions": fiveLabels}
	cacheShape   = map[string]any{"cache_hit_rate": "number", "cache_hits": "number", "hit_rate": "number", "hits": "number", "max_size": "number", "misses": "number", "size": "number", "utilization": "number"}
	endedShape   = map[string]any{"completed_at": "string", "filename": "string", "from_cache": "bool", "processing_time": "number", "queued_at": "string", "replica_used": "string", "request_id": "string", "result": resultShape, "status": "string"}
	statusShapes = map[string]any{
		"cache_metrics": cacheShape, "endpoint_url": "string", "failed_requests": "number",
		"health_metrics":      map[string]any{"error_rate": "number", "last_request_timestamp": "number", "uptime": "number"},
		"performance_metrics": map[string]any{"avg_processing_time": "number", "avg_queue_time": "number", "throughput": "number"},
		"queue_metrics":       map[string]any{"peak_queue_size": "number", "queue_capacity": "number", "queue_utilization": "number"},
		"queue_size":          "number", "stored_results": "number", "successful_requests": "number", "total_requests": "number",
	}
)

var (
	uuidForm  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	stampForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)
)

// TestContract follows the prototype's README: submit, poll, status, submit again. Each response has the fields shown
// in the README, with their types and nesting.
func TestContract(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)

	if a := c.get("/health"); a.status != http.StatusOK || a.body != `{"status":"healthy"}`+"\n" {
		t.Errorf("GET /health = %d %s", a.status, a.body)
	}

	a := c.post("/predict_async", "n01531178_goldfinch.JPEG", "goldfinch")
	accepted := a.json(t)
	holds(t, "accepted", accepted, map[string]any{"from_cache": "bool", "message": "string", "queue_size": "number", "request_id": "string", "status_url": "string"})
	id, _ := accepted["request_id"].(string)
	if a.status != http.StatusAccepted || accepted["from_cache"] != false ||
		accepted["message"] != "Request queued for processing" || accepted["status_url"] != "/result/"+id || !uuidForm.MatchString(id) {
		t.Errorf("POST /predict_async = %d %s", a.status, a.body)
	}

	<-g.arrived
	if got := c.get("/result/" + id).json(t); got["status"] != "processing" {
		t.Errorf("status while a replica works: %v, want processing", got["status"])
	}
	close(g.open)
	ended := c.wait(id)
	holds(t, "result", ended, endedShape)
	if ended["status"] != "completed" || ended["from_cache"] != false || ended["request_id"] != id ||
		ended["filename"] != "n01531178_goldfinch.JPEG" || !strings.HasPrefix(ended["replica_used"].(string), "http://") {
		t.Errorf("GET /result = %v", ended)
	}
	for _, field := range []string{"queued_at", "completed_at"} {
		if s, _ := ended[field].(string); !stampForm.MatchString(s) {
			t.Errorf("%s %q, want ISO 8601 with microseconds in UTC", field, s)
		}
	}
	timing, _ := ended["timing"].(map[string]any)
	if got := ended["result"].(map[string]any)["inference_time"]; got != timing["inference"] {
		t.Errorf("inference_time is %v, and timing.inference is %v", got, timing["inference"])
	}
	for _, stage := range []string{"queue", "forward", "replica", "decode", "preprocess", "inference"} {
		if seconds, _ := timing[stage].(float64); seconds <= 0 {
			t.Errorf("timing lacks %s: %v", stage, timing)
		}
	}

	a = c.post("/predict_async", "again.JPEG", "goldfinch")
	cached := a.json(t)
	holds(t, "cached", cached, map[string]any{"from_cache": "bool", "message": "string", "result": resultShape})
	if a.status != http.StatusOK || cached["from_cache"] != true || cached["message"] != "Result served from cache" {
		t.Errorf("POST /predict_async of known bytes = %d %s", a.status, a.body)
	}
	if name := cached["result"].(map[string]any)["filename"]; name != "again.JPEG" {
		t.Errorf("filename of a cached result %q, want this upload's", name)
	}
	// The README's script polls every request.
	again := c.wait(cached["request_id"].(string))
	holds(t, "cached result", again, endedShape)
	if again["from_cache"] != true {
		t.Errorf("from_cache of a cached result: %v", again["from_cache"])
	}

	status := c.get("/status").json(t)
	holds(t, "status", status, statusShapes)
	for field, want := range map[string]float64{"total_requests": 2, "successful_requests": 2, "failed_requests": 0, "stored_results": 2, "queue_size": 0} {
		if status[field] != want {
			t.Errorf("status.%s = %v, want %v", field, status[field], want)
		}
	}
	if m := status["cache_metrics"].(map[string]any); m["hits"] != 1.0 || m["misses"] != 1.0 || m["hit_rate"] != 50.0 || m["max_size"] != 1000.0 || m["utilization"] != 0.1 {
		t.Errorf("status.cache_metrics = %v", m)
	}
	if m := status["queue_metrics"].(map[string]any); m["queue_capacity"] != 200.0 {
		t.Errorf("status.queue_metrics = %v", m)
	}

	results := c.get("/results").json(t)
	holds(t, "results", results, map[string]any{"total": "number"})
	if list, _ := results["results"].([]any); len(list) != 2 || list[0].(map[string]any)["filename"] != "again.JPEG" {
		t.Errorf("GET /results = %v, want two, the most recent first", results)
	}
	holds(t, "cache stats", c.get("/cache/stats").json(t), cacheShape)
	a = c.do(http.NewRequest(http.MethodPost, c.url+"/cache/clear", nil))
	if a.status != http.StatusOK || a.json(t)["cleared"] != 1.0 {
		t.Errorf("POST /cache/clear = %d %s", a.status, a.body)
	}
	if a = c.post("/predict_async", "once-more.JPEG", "goldfinch"); a.status != http.StatusAccepted {
		t.Errorf("POST /predict_async after clear = %d %s", a.status, a.body)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{MaxImageBytes: 1000}, 1, opened())
	raw := func(method, path, contentType, body string) answer {
		req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", contentType)
		}
		return c.do(req, err)
	}
	const emptyName = "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"\"\r\n\r\n\r\n--b--\r\n"
	tests := map[string]struct {
		send   func() answer
		status int
		error  string
	}{
		"no body":        {func() answer { return raw("POST", "/predict_async", "", "") }, 400, "No image provided"},
		"empty filename": {func() answer { return raw("POST", "/predict_async", "multipart/form-data; boundary=b", emptyName) }, 400, "Empty filename"},
		"too large":      {func() answer { return c.post("/predict_async", "a.jpg", strings.Repeat("x", 1001)) }, 413, "Image is larger than 0.0009537 MiB"},
		"JSON body":      {func() answer { return raw("POST", "/predict_async", "application/json", "{}") }, 415, "Content-Type application/json is not supported"},
		"unknown id":     {func() answer { return raw("GET", "/result/f18d7c0a-e37f-4f6c-b214-542dd751b0e3", "", "") }, 404, "Request ID not found"},
		"odd id":         {func() answer { return raw("GET", "/result/a%20b*", "", "") }, 404, "Request ID not found"},
		"bad wait":       {func() answer { return raw("GET", "/result/"+c.submit("a.jpg", "w")+"?wait=soon", "", "") }, 400, "wait is not a duration"},
		"bad limit":      {func() answer { return raw("GET", "/results?limit=0", "", "") }, 400, "limit must be a positive integer"},
		"bad timeout":    {func() answer { return c.post("/predict", "a.jpg", "x", "X-Request-Timeout", "-1") }, 400, `X-Request-Timeout "-1" is not a duration`},
		"bad priority":   {func() answer { return c.post("/predict", "a.jpg", "x", "X-Priority", "vip") }, 400, `X-Priority "vip" is not a priority`},
		"broken, sync":   {func() answer { return c.post("/predict", "a.jpg", "broken") }, 422, "Not a decodable image"},
		"wrong path":     {func() answer { return raw("GET", "/nowhere", "", "") }, 404, "No such endpoint: /nowhere"},
		"wrong method":   {func() answer { return raw("PUT", "/predict_async", "", "") }, 405, "PUT is not allowed here"},
		"batch, no form": {func() answer { return raw("POST", "/predict_batch", "image/jpeg", "x") }, 415, "A batch must be multipart/form-data"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := test.send()
			if got := a.json(t)["error"]; a.status != test.status || got != test.error {
				t.Errorf("answer %d %v, want %d %q", a.status, got, test.status, test.error)
			}
		})
	}
	problem := c.post("/predict", "a.jpg", "broken", "Accept", "application/problem+json")
	if got := problem.json(t); problem.status != 422 || problem.header.Get("Content-Type") != "application/problem+json" ||
		got["status"] != 422.0 || got["detail"] != "Not a decodable image" || got["code"] != "undecodable" {
		t.Errorf("a broken image as a problem: %d %s", problem.status, problem.body)
	}
	ended := c.wait(c.submit("b.jpg", "broken too"))
	if ended["status"] != "failed" || ended["error"] != "Not a decodable image" || ended["code"] != "undecodable" {
		t.Errorf("result of a broken image: %v", ended)
	}
}

func TestRawBody(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	req, err := http.NewRequest(http.MethodPost, c.url+"/predict_async?filename=a.png", strings.NewReader("raw"))
	if err == nil {
		req.Header.Set("Content-Type", "image/png")
	}
	a := c.do(req, err)
	if ended := c.wait(a.json(t)["request_id"].(string)); ended["status"] != "completed" || ended["filename"] != "a.png" {
		t.Errorf("result of a raw body: %v", ended)
	}
}
