//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadme runs the steps of the prototype's README with curl and jq, and checks that each prints what the README
// shows.
func TestReadme(t *testing.T) {
	t.Parallel()
	need(t, "bash", "curl", "jq")
	s := up(t, t.TempDir())
	script, err := os.ReadFile("testdata/readme.sh")
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.url, "http://")
	steps := strings.NewReplacer("127.0.0.1:8080", address, "localhost:8080", address).Replace(string(script))
	bash := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail")
	bash.Dir, bash.Stdin = workspace(t), strings.NewReader(steps)
	out, err := bash.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	printed := sections(string(out))

	if got := printed["health"]; got != "{\n  \"status\": \"healthy\"\n}" {
		t.Errorf("health: %s", got)
	}
	response, ok := strings.CutPrefix(printed["send"], "Dispatch response → ")
	accepted := parse(t, response)
	id, _ := accepted["request_id"].(string)
	waiting, _ := accepted["queue_size"].(float64) // 1, or 0 if a replica took it immediately: the README shows both
	if !ok || accepted["from_cache"] != false || accepted["message"] != "Request queued for processing" ||
		waiting > 1 || accepted["status_url"] != "/result/"+id {
		t.Errorf("response: %s", printed["send"])
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) || printed["id"] != "Request ID → "+id {
		t.Errorf("request id %q, printed %q", id, printed["id"])
	}

	attempts := strings.Split(printed["poll"], "Attempt ")
	if len(attempts) != 6 {
		t.Fatalf("poll: %s", printed["poll"])
	}
	last := strings.TrimPrefix(attempts[5], "5: ")
	checkCompleted(t, last, id)

	status := parse(t, printed["status"])
	for _, field := range []string{"cache_metrics", "endpoint_url", "failed_requests", "health_metrics", "performance_metrics",
		"queue_metrics", "queue_size", "stored_results", "successful_requests", "total_requests"} {
		if _, ok := status[field]; !ok {
			t.Errorf("status lacks %s", field)
		}
	}

	use := strings.SplitN(printed["use"], "\n", 2)
	if again := parse(t, use[0]); again["from_cache"] != true || again["message"] != "Result served from cache" {
		t.Errorf("the same image again: %s", use[0])
	}
	checkCompleted(t, use[1], id)
}

// checkCompleted checks the README's example of a completed request: fields, types, and the labels.
func checkCompleted(t *testing.T, text, id string) {
	t.Helper()
	got := parse(t, text)
	result, _ := got["result"].(map[string]any)
	inference, _ := result["inference_time"].(float64)
	processing, _ := got["processing_time"].(float64)
	replica, _ := got["replica_used"].(string)
	if got["status"] != "completed" || got["request_id"] != id || got["from_cache"] != false || inference <= 0 ||
		processing < inference || !strings.HasPrefix(replica, "http://127.0.0.1:") ||
		got["filename"] != "n01531178_goldfinch.JPEG" || result["filename"] != got["filename"] {
		t.Errorf("completed: %s", text)
	}
	for _, field := range []string{"completed_at", "queued_at"} {
		if stamp, _ := got[field].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`).MatchString(stamp) {
			t.Errorf("%s: %q", field, stamp)
		}
	}
	var labels []string
	predictions, _ := result["predictions"].([]any)
	for _, p := range predictions {
		label, _ := p.(string)
		labels = append(labels, label)
	}
	if len(labels) != 5 {
		t.Errorf("predictions %v, want five labels", labels)
	}
	// The README's five labels; their order after the first depends on the weights.
	if want := []string{"goldfinch", "bulbul", "magpie", "chickadee", "junco"}; weights != "" && !slices.Equal(labels, want) {
		t.Errorf("predictions %v, want %v", labels, want)
	}
}

// sections splits output at lines "== name".
func sections(out string) map[string]string {
	parts := make(map[string]string)
	for part := range strings.SplitSeq("\n"+out, "\n== ") {
		name, text, _ := strings.Cut(part, "\n")
		parts[name] = strings.TrimSpace(text)
	}
	return parts
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return v
}
