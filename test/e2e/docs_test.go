//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
)

// TestDocsPage opens the page of the API's description below a path on a phone and on a desktop, in light and dark: its style
// is there, links lead to their targets, nothing overflows, and axe-core has no findings.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	url, _ := servePage(t, dispatch.Config{BasePath: "/photos"}, func(context.Context) error { return nil })
	for _, c := range []struct {
		name  string
		width int
		dark  bool
	}{{"docs-phone", 320, false}, {"docs-desktop-dark", 1280, true}} {
		b := openBrowser(t, c.width, 900, c.dark)
		b.navigate(url + "/photos/docs")
		if got := b.run(`document.styleSheets.length + " " + document.images[0].naturalWidth`); got[:2] != "1 " || got == "1 0" {
			t.Errorf("%s: style sheets and width of the icon: %s", c.name, got)
		}
		b.screenshot(c.name)
		b.run(`[...document.querySelectorAll("nav a")].find((a) => a.textContent === "POST /predict").click()`)
		b.wait(`document.querySelector(":target")?.getBoundingClientRect().top < 100`)
		if got := b.run(`document.querySelector(":target").textContent`); got != "POST /predict" {
			t.Errorf("%s: the link leads to %q", c.name, got)
		}
		b.screenshot(c.name + "-predict")
		if wide := b.run(`document.documentElement.scrollWidth`); wide != fmt.Sprint(c.width) {
			t.Errorf("%s: the page is %s wide", c.name, wide)
		}
		if axe != "" {
			b.run(axe + `; ""`)
			if got := b.run(`axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html + " " + n.failureSummary).join("; ")).join("\n"))`); got != "" {
				t.Errorf("%s: axe-core finds\n%s", c.name, got)
			}
		}
		b.clean()
	}
}
