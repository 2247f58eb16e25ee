//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// TestDashboard watches a system under load: the figures appear, a killed replica shows as an event, and the page finds a
// server that was gone and is back.
func TestDashboard(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	addr := harness.FreeAddr(t)
	folder := t.TempDir()
	s := up(t, folder, "--addr", addr, "--autoscale", "1:2", "--autoscaler-addr", "127.0.0.1:0")
	page := openBrowser(t, 1280, 1700, false)
	page.navigate("http://" + addr + "/dashboard")
	page.until("the page is connected", `document.getElementById("link-text")?.textContent === "live"`)
	s.allComplete(s.submitMany(30))
	if _, err := s.submit("broken.jpg", []byte("\xff\xd8\xffno picture")); err != nil {
		t.Fatal(err)
	}
	page.until("completed images are shown", `/[1-9]/.test(document.getElementById("t-completed").textContent) || /between 0 and [1-9]/.test(document.getElementById("summary-rates").textContent)`)
	page.until("latency of inference is shown", `/inference\s+\d/.test(document.getElementById("stages").innerText)`)
	page.until("the autoscaler's reasons are shown", `/Policy deadline wants [12]/.test(document.getElementById("scaling").innerText)`)
	page.until("an image that cannot be classified is no failure",
		`/failed now 0, between 0 and 0; unusable now [\d.]+, between 0 and (0\.)?[1-9]/.test(document.getElementById("summary-rates").textContent)`)
	page.until("the share of the cache is known", `/from cache now \d+ %/.test(document.getElementById("summary-share").textContent)`)
	if full := page.run(`document.querySelector("#charts figure:last-child").getBoundingClientRect().right >= document.getElementById("charts").getBoundingClientRect().right - 1`); full != "true" {
		t.Error("the grid of charts has an empty cell")
	}
	if text := page.run(`document.getElementById("replicas").innerText`); !strings.Contains(text, "healthy") || !strings.Contains(text, "fp32") {
		t.Errorf("replicas: %q", text)
	}

	// The keyboard reads single points, pause stops the charts, and a series can be hidden.
	page.run(`document.querySelector("#chart-rates canvas").focus()`)
	page.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": "ArrowLeft", "windowsVirtualKeyCode": 37}, nil)
	page.until("the point is read", `/offered \d/.test(document.getElementById("point").textContent)`)
	page.run(`document.getElementById("pause").click()`)
	page.until("paused", `document.getElementById("pause").textContent === "Continue"`)
	page.run(`document.getElementById("pause").click()`)
	page.run(`document.querySelector("#chart-rates .legend button").click()`)
	page.until("hidden", `document.querySelector("#chart-rates .legend button").getAttribute("aria-pressed") === "false"`)
	page.screenshot("dashboard-desktop")

	gone := `document.getElementById("events").innerText.match(/set aside|removed/g)?.length ?? 0`
	before := page.run(gone)
	if err := syscall.Kill(s.replicaPIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	page.until("the killed replica is an event", "("+gone+") > "+before)
	page.until("its successor is healthy", `/^([1-9]) of \1$/.test(document.getElementById("t-replicas").textContent)`)

	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	page.until("the page sees that the server is silent", `document.getElementById("link-text").textContent.includes("silent")`)
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	page.until("the page is connected after silence", `document.getElementById("link-text").textContent === "live"`)

	if _, err := s.stop(); err != nil {
		t.Error(err)
	}
	page.until("the page sees that the server is gone", `document.querySelector("#link .off") !== null`)
	up(t, folder, "--addr", addr)
	page.until("the page is connected again", `document.getElementById("link-text").textContent === "live"`)
	page.clean()
}

// TestDashboardOnPhone checks a narrow dark screen, and a key.
func TestDashboardOnPhone(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	s := up(t, t.TempDir(), "--keys", accesstest.File(t))
	page := openBrowser(t, 390, 2600, true)
	page.navigate(s.url + "/dashboard")
	page.until("a key is asked for", `document.getElementById("key")?.hidden === false`)
	enter := func(token string) {
		page.run(`(document.getElementById("token").value = "` + token + `", document.querySelector("#key button").click())`)
	}
	enter(accesstest.Shop)
	page.until("a key that does not permit reading is not enough", `!document.getElementById("key").hidden && document.getElementById("key-problem").textContent !== ""`)
	if got := page.run(`sessionStorage.getItem("resnet18cloud-key")`); got != accesstest.Shop {
		t.Error("the dashboard forgets a key that the page for uploads can use")
	}
	enter(accesstest.Monitor)
	page.until("the page is connected", `document.getElementById("link-text").textContent === "live"`)
	page.until("the replica has a name instead of an address", `/^replica-[0-9a-f]{8}/.test(document.getElementById("replicas").innerText)`)
	if wide := page.run("document.documentElement.scrollWidth > document.documentElement.clientWidth"); wide == "true" {
		t.Error("the page is wider than the screen")
	}
	if text := page.run("document.body.innerText"); regexp.MustCompile(`127\.0\.0\.1:\d+`).MatchString(text) {
		t.Errorf("a reader sees the address of a replica:\n%s", text)
	}
	page.screenshot("dashboard-phone-dark")
	page.clean()
}

// TestDashboardLooks opens the dashboard and the autoscaler's page on a phone and on a desktop, in light and dark: nothing
// overflows, the keyboard reaches what a pointer reaches, axe-core has no findings, and the consoles have no errors.
func TestDashboardLooks(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	scaler := harness.FreeAddr(t)
	s := up(t, t.TempDir(), noWeights, "--autoscale", "1:2", "--autoscaler-addr", scaler)
	s.allComplete(s.submitMany(5))
	for _, c := range []struct {
		name  string
		width int
		dark  bool
	}{{"phone-dark", 320, true}, {"desktop", 1280, false}} {
		b := openBrowser(t, c.width, 900, c.dark)
		b.navigate(s.url + "/dashboard")
		b.until("the page is connected", `document.getElementById("link-text")?.textContent === "live"`)
		b.until("the autoscaler's reasons are shown", `/Policy deadline wants/.test(document.getElementById("scaling").innerText)`)
		b.until("there are events", `document.getElementById("events").children.length > 0`)
		if wide := b.run(`document.documentElement.scrollWidth`); wide != fmt.Sprint(c.width) {
			t.Errorf("%s: the dashboard is %s wide", c.name, wide)
		}
		b.accessible(axe, "dashboard, "+c.name)
		b.screenshot("dashboard-" + c.name)
		reached := b.tabThrough(60)
		for _, want := range []string{"range", "stage", "pause", "canvas", "legend", "events"} {
			if !strings.Contains(reached, want) {
				t.Errorf("%s: the keyboard does not reach %s, only\n%s", c.name, want, reached)
			}
		}
		b.navigate("http://" + scaler + "/")
		b.until("the autoscaler's page is there", `document.querySelector("h1")?.textContent.includes("autoscaler")`)
		if wide := b.run(`document.documentElement.scrollWidth`); wide != fmt.Sprint(c.width) {
			t.Errorf("%s: the autoscaler's page is %s wide", c.name, wide)
		}
		b.accessible(axe, "autoscaler, "+c.name)
		b.screenshot("autoscaler-" + c.name)
		if reached := b.tabThrough(6); !strings.Contains(reached, "summary") || !strings.Contains(reached, "health") {
			t.Errorf("%s: the keyboard does not reach the links, only\n%s", c.name, reached)
		}
		b.clean()
	}
}

// tabThrough presses Tab n times, and returns what had the focus, a line each. It fails the test if that cannot be seen.
func (b *browser) tabThrough(n int) string {
	b.t.Helper()
	var reached []string
	for range n {
		for _, kind := range []string{"rawKeyDown", "keyUp"} {
			b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}, nil)
		}
		reached = append(reached, b.run(`(() => {
			const e = document.activeElement, s = getComputedStyle(e);
			const seen = e === document.body || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 ? "" : "(no outline) ";
			return seen + [e.localName, e.id, e.name, e.parentElement?.className, e.getAttribute("href")].filter(Boolean).join(" ");
		})()`))
	}
	list := strings.Join(reached, "\n")
	if strings.Contains(list, "(no outline)") {
		b.t.Errorf("the focus cannot be seen:\n%s", list)
	}
	return list
}
