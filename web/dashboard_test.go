package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestDashboardLoads checks that the page names files that exist, by relative addresses, and that its script finds its
// elements.
func TestDashboardLoads(t *testing.T) {
	t.Parallel()
	h := handler(t, nil)
	w := get(h, "/dashboard")
	page, script := w.Body.String(), get(h, "/page/dashboard.js").Body.String()+get(h, "/page/shared.js").Body.String()
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'self'") {
		t.Fatalf("GET /dashboard = %d, %v", w.Code, w.Header())
	}
	if regexp.MustCompile(`(?:src|href)="/|(?:api|fetch)\(["` + "`" + `]/`).MatchString(page + script) {
		t.Error("an address is absolute, and does not work below a path")
	}
	assets := regexp.MustCompile(`(?:src|href)="(page/[^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(assets) < 3 {
		t.Fatalf("the page names %d assets, want scripts and icon", len(assets))
	}
	for _, a := range assets {
		if w := get(h, "/"+a[1]); w.Code != http.StatusOK {
			t.Errorf("GET /%s = %d", a[1], w.Code)
		}
	}
	for _, id := range regexp.MustCompile(`(?:\$|setText)\("([\w-]+)"`).FindAllStringSubmatch(script, -1) {
		if !strings.Contains(page, `id="`+id[1]+`"`) {
			t.Errorf("the script asks for %q, which the page does not have", id[1])
		}
	}
}
