//go:build e2e

package e2e

import (
	"html"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
)

// TestPage opens the page in a browser, classifies one of its drawings, and reads the result.
func TestPage(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	page := browse(t, up(t, t.TempDir()).url+"/?sample=candle")
	shown := func(id string) string {
		m := regexp.MustCompile(`id="` + id + `"[^>]*>([^<]*)<`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("the page has no %s:\n%s", id, page)
		}
		return m[1]
	}
	if got := shown("health-text"); got != "healthy" {
		t.Errorf("health: %q", got)
	}
	if got := shown("waiting"); got != "0 of 200" {
		t.Errorf("waiting: %q", got)
	}
	if !strings.Contains(page, `<td title="">healthy</td>`) {
		t.Error("no healthy replica")
	}
	if n := strings.Count(page, `<li class="card" data-phase="done">`); n != 1 {
		t.Fatalf("%d cards with a result, want 1:\n%s", n, page)
	}
	labels := regexp.MustCompile(`<li><span>([^<]+)</span><span class="bar"[^>]*></span><span>[\d.]+ %</span></li>`).FindAllStringSubmatch(page, -1)
	if len(labels) != 5 {
		t.Fatalf("%d labels with confidence, want 5:\n%s", len(labels), page)
	}
	if weights != "" && labels[0][1] != "candle" {
		t.Errorf("the candle is taken for a %s", labels[0][1])
	}
	for _, stage := range []string{"queue", "decode", "preprocess", "inference"} {
		if !regexp.MustCompile(`</i>` + stage + ` [\d.]+ m?s</span>`).MatchString(page) {
			t.Errorf("the stage %s is not shown", stage)
		}
	}
}

// TestPageAsksForKey opens the page of a server with keys.
func TestPageAsksForKey(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	page := browse(t, up(t, t.TempDir(), "--keys", accesstest.File(t)).url)
	if !regexp.MustCompile(`<form id="key" aria-labelledby="key-title">`).MatchString(page) || !strings.Contains(page, ">a key is required<") ||
		!strings.Contains(page, `curl -H "Authorization: Bearer $TOKEN"`) {
		t.Errorf("the page does not ask for a key:\n%s", page)
	}
}

// browse returns a page's elements after its scripts have run.
func browse(t *testing.T, url string) string {
	t.Helper()
	// Virtual time ends three seconds after the page's last request.
	browser := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget=3000", "--dump-dom", url)
	out, err := browser.Output()
	if err != nil {
		t.Fatalf("%s: %v", browser, err)
	}
	return html.UnescapeString(string(out))
}
