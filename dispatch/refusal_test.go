package dispatch_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
)

// Two clients that read the response only after they have sent everything. Their arguments are triples of a URL, a
// media type and a number of bytes; for each they print a line: the status, or the error.
const (
	pythonClient = `
import http.client, sys, urllib.parse
for at in range(1, len(sys.argv), 3):
    url, kind, n = sys.argv[at:at+3]
    url = urllib.parse.urlparse(url)
    try:
        c = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        c.request("POST", url.path, body=b"x" * int(n), headers={"Content-Type": kind})
        r = c.getresponse(); r.read(); print(r.status)
    except Exception as e:
        print(repr(e))`
	nodeClient = `
(async () => { for (let at = 1; at < process.argv.length; at += 3) {
  const [url, type, n] = process.argv.slice(at);
  try {
    const r = await fetch(url, {method: "POST", body: Buffer.alloc(Number(n), "x"), headers: {"Content-Type": type}});
    await r.text(); console.log(r.status);
  } catch (e) { console.log(String(e), String(e.cause)) }
} })()`
)

// TestRefusalsAreSeen checks that Python's http.client and Node's fetch receive the status if a large upload is
// rejected, by the dispatcher and by a replica.
func TestRefusalsAreSeen(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	replica := startReplica(t, 1, opened())
	const form = "multipart/form-data; boundary=b"
	requests := []struct {
		url, mediaType string
		bytes          int
		status         string
	}{
		{c.url + "/predict", "image/jpeg", 10_600_000, "413"},
		{c.url + "/predict", "image/jpeg", 60_000_000, "413"},
		{c.url + "/predict_async", form, 10_600_000, "413"},
		{c.url + "/predict_async", form, 60_000_000, "413"},
		{replica + "/predict", "image/jpeg", 10_600_000, "413"},
		{replica + "/predict", "image/jpeg", 60_000_000, "413"},
		{replica + "/predict", form, 10_600_000, "413"},
		{replica + "/predict", form, 60_000_000, "413"},
		{c.url + "/predict", "application/json", 10_600_000, "415"},
		{c.url + "/predict", "image/", 10_600_000, "400"},
		{c.url + "/predict_batch", "image/jpeg", 10_600_000, "415"},
		{replica + "/predict", "application/json", 10_600_000, "415"},
		{c.url + "/nowhere", "image/jpeg", 10_600_000, "404"},
		{c.url + "/status", "image/jpeg", 10_600_000, "405"},
		{replica + "/nowhere", "image/jpeg", 10_600_000, "404"},
	}
	for client, args := range map[string][]string{"python3": {"-c", pythonClient}, "node": {"-e", nodeClient}} {
		if _, err := exec.LookPath(client); err != nil {
			t.Logf("%s is not installed: not tested", client)
			continue
		}
		for _, r := range requests {
			args = append(args, r.url, r.mediaType, fmt.Sprint(r.bytes))
		}
		out, err := exec.CommandContext(t.Context(), client, args...).CombinedOutput()
		got := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err != nil || len(got) != len(requests) {
			t.Errorf("%s: %v\n%s", client, err, out)
			continue
		}
		for i, r := range requests {
			if got[i] != r.status {
				t.Errorf("%s: %d bytes of %s to %s: %s, want %s", client, r.bytes, r.mediaType, r.url, got[i], r.status)
			}
		}
	}
}
