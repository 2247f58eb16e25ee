//go:build e2e

package e2e

import (
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
)

// TestDashboard watches a system under load: the figures appear, a killed replica shows as an event, and the page finds a
// server that was gone and is back.
func TestDashboard(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	addr := freeAddr(t)
	folder := t.TempDir()
	s := up(t, folder, "--addr", addr, "--autoscale", "1:2", "--autoscaler-addr", "127.0.0.1:0")
	page := openBrowser(t, 1280, 1700, false)
	page.open("http://" + addr + "/dashboard")
	page.until("the page is connected", `document.getElementById("link-text")?.textContent === "live"`)
	s.allComplete(s.submitMany(30))
	page.until("completed images are shown", `/[1-9]/.test(document.getElementById("t-completed").textContent) || /between 0 and [1-9]/.test(document.getElementById("summary-rates").textContent)`)
	page.until("latency of inference is shown", `/inference\s+\d/.test(document.getElementById("stages").innerText)`)
	page.until("the autoscaler's reasons are shown", `/Policy deadline wants [12]/.test(document.getElementById("scaling").innerText)`)
	page.until("the charts have summaries", `/completed now .* between/.test(document.getElementById("summary-rates").textContent)`)
	if text := page.eval(`document.getElementById("replicas").innerText`); !strings.Contains(text, "healthy") || !strings.Contains(text, "fp32") {
		t.Errorf("replicas: %q", text)
	}

	// The keyboard reads single points, pause stops the charts, and a series can be hidden.
	page.eval(`document.querySelector("#chart-rates canvas").focus()`)
	page.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": "ArrowLeft", "windowsVirtualKeyCode": 37}, nil)
	page.until("the point is read", `/offered \d/.test(document.getElementById("point").textContent)`)
	page.eval(`document.getElementById("pause").click()`)
	page.until("paused", `document.getElementById("pause").textContent === "Continue"`)
	page.eval(`document.getElementById("pause").click()`)
	page.eval(`document.querySelector("#chart-rates .legend button").click()`)
	page.until("hidden", `document.querySelector("#chart-rates .legend button").getAttribute("aria-pressed") === "false"`)
	page.screenshot("dashboard-desktop")

	if err := syscall.Kill(s.replicaPIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	page.until("the killed replica is an event", `/set aside|removed/.test(document.getElementById("events").innerText)`)
	page.until("its successor is healthy", `/^[1-9]/.test(document.getElementById("t-replicas").textContent)`)

	if _, err := s.stop(); err != nil {
		t.Error(err)
	}
	page.until("the page sees that the server is gone", `document.querySelector("#link .off") !== null`)
	up(t, folder, "--addr", addr)
	page.until("the page is connected again", `document.getElementById("link-text").textContent === "live"`)
	if errors := page.consoleErrors(); len(errors) > 0 {
		t.Errorf("console: %s", errors)
	}
}

// TestDashboardOnPhone checks a narrow dark screen, and a key.
func TestDashboardOnPhone(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	s := up(t, t.TempDir(), "--keys", accesstest.File(t))
	page := openBrowser(t, 390, 2600, true)
	page.open(s.url + "/dashboard")
	page.until("a key is asked for", `document.getElementById("key")?.hidden === false`)
	page.eval(`(document.getElementById("token").value = "` + accesstest.Monitor + `", document.querySelector("#key button").click())`)
	page.until("the page is connected", `document.getElementById("link-text").textContent === "live"`)
	page.until("the replica has a name instead of an address", `/^replica-[0-9a-f]{8}/.test(document.getElementById("replicas").innerText)`)
	if wide := page.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth"); wide == "true" {
		t.Error("the page is wider than the screen")
	}
	if text := page.eval("document.body.innerText"); regexp.MustCompile(`127\.0\.0\.1:\d+`).MatchString(text) {
		t.Errorf("a reader sees the address of a replica:\n%s", text)
	}
	page.screenshot("dashboard-phone-dark")
}

// freeAddr returns an address that is free now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
