//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
)

// TestPage opens the page in a browser, classifies one of its drawings, and reads the result.
func TestPage(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1280, 900, false)
	b.open(up(t, t.TempDir()).url + "/?sample=candle")
	b.until("the sample has a result", `document.querySelector(".card[data-phase=done]")`)
	b.until("the server is healthy", `document.getElementById("health-text").textContent === "healthy"`)
	b.until("the replica is healthy", `/healthy/.test(document.getElementById("replicas").innerText)`)
	if got := b.text("waiting"); got != "0 of 200" {
		t.Errorf("waiting: %q", got)
	}
	if n := b.run(`document.querySelectorAll(".card").length`); n != "1" {
		t.Errorf("%s cards, want 1", n)
	}
	lines := strings.Split(b.run(`[...document.querySelectorAll(".card .labels li")].map((l) => [...l.children].map((e) => e.textContent).join("|")).join("\n")`), "\n")
	for _, line := range lines {
		if !regexp.MustCompile(`^[^|]+\|\|[\d.]+ %$`).MatchString(line) {
			t.Errorf("label %q, want one with its confidence", line)
		}
	}
	if len(lines) != 5 {
		t.Errorf("%d labels, want 5", len(lines))
	}
	if weights != "" && !strings.HasPrefix(lines[0], "candle|") {
		t.Errorf("the candle is taken for %s", lines[0])
	}
	text := b.run(`document.querySelector(".stage-text").textContent`)
	for _, stage := range []string{"queue", "decode", "preprocess", "inference"} {
		if !regexp.MustCompile(stage + ` [\d.]+ m?s`).MatchString(text) {
			t.Errorf("the stage %s is not in %q", stage, text)
		}
	}
	b.clean()
}

// TestPageAsksForKey opens the page of a server with keys, and enters a wrong one and a right one.
func TestPageAsksForKey(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1280, 900, false)
	b.open(up(t, t.TempDir(), "--keys", accesstest.File(t)).url)
	b.until("a key is asked for", `!document.getElementById("key").hidden`)
	if got := b.text("health-text"); got != "a key is required" {
		t.Errorf("health: %q", got)
	}
	if got := b.text("curl"); !strings.Contains(got, `curl -H "Authorization: Bearer $TOKEN"`) {
		t.Errorf("the command has no key: %q", got)
	}
	enter := func(token string) {
		b.run(fmt.Sprintf(`(document.getElementById("token").value = %q, document.querySelector("#key button").click())`, token))
	}
	enter("wrong")
	b.until("the key is rejected", `!document.getElementById("key").hidden && document.getElementById("key-problem").textContent !== ""`)
	enter(accesstest.Ops)
	b.until("the state is shown", `document.getElementById("health-text").textContent === "healthy"`)
	if hidden := b.run(`document.getElementById("key").hidden && !document.getElementById("key-used").hidden`); hidden != "true" {
		t.Error("the page still asks for a key, or does not offer to forget it")
	}
	b.clean()
}
