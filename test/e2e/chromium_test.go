//go:build e2e

package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a Chromium with one page, driven by the DevTools protocol over pipes: JSON messages that end with a zero byte.
type browser struct {
	t       *testing.T
	in      io.Writer
	session string

	mu       sync.Mutex
	next     int                          // guarded by mu: id of the last command
	answers  map[int]chan json.RawMessage // guarded by mu: by id
	problems []string                     // guarded by mu: exceptions, console errors and violations of the policy
}

// openBrowser starts Chromium with an empty page of the given size.
func openBrowser(t *testing.T, width, height int, dark bool) *browser {
	t.Helper()
	need(t, "chromium")
	toBrowser, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	b := &browser{t: t, in: in, answers: map[int]chan json.RawMessage{}}
	var reader sync.WaitGroup
	reader.Go(func() { b.read(out) })
	t.Cleanup(func() {
		_, _ = io.WriteString(in, `{"id":1000000,"method":"Browser.close"}`+"\x00") // so that its processes end in order
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		in.Close()
		out.Close()
		reader.Wait()
	})
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	b.call("Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var attached struct{ SessionID string }
			b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
			b.session = attached.SessionID
			break
		}
	}
	for _, domain := range []string{"Page", "Runtime", "Log", "DOM"} {
		b.call(domain+".enable", nil, nil)
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	if dark {
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	}
	return b
}

// read passes on answers until the browser ends.
func (b *browser) read(out io.Reader) {
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Result json.RawMessage
			Error  *struct{ Message string }
			Params json.RawMessage
		}
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if answer := b.answers[m.ID]; m.ID != 0 && answer != nil {
			delete(b.answers, m.ID)
			if m.Error != nil {
				m.Result, _ = json.Marshal(map[string]string{"error": m.Error.Message})
			}
			answer <- m.Result // has room
		}
		b.note(m.Method, m.Params)
		b.mu.Unlock()
	}
}

// note keeps problems. Answers of the server that are errors are none: tests provoke them. The caller holds mu.
func (b *browser) note(method string, params []byte) {
	var p struct {
		Type             string
		Entry            struct{ Source, Level, Text string }
		ExceptionDetails json.RawMessage
	}
	if json.Unmarshal(params, &p) != nil {
		return
	}
	switch {
	case method == "Runtime.exceptionThrown", method == "Runtime.consoleAPICalled" && p.Type == "error",
		method == "Log.entryAdded" && p.Entry.Level == "error" && p.Entry.Source != "network":
		b.problems = append(b.problems, string(params))
	}
}

// call sends a command and waits for its answer.
func (b *browser) call(method string, params, answer any) {
	b.t.Helper()
	b.mu.Lock()
	b.next++
	id, got := b.next, make(chan json.RawMessage, 1)
	b.answers[id] = got
	b.mu.Unlock()
	command := map[string]any{"id": id, "method": method}
	if params != nil {
		command["params"] = params
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case raw := <-got:
		var failure struct{ Error string }
		if json.Unmarshal(raw, &failure) == nil && failure.Error != "" {
			b.t.Fatalf("%s: %s", method, failure.Error)
		}
		if answer != nil {
			if err := json.Unmarshal(raw, answer); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(2 * time.Minute):
		b.t.Fatalf("%s: no answer from the browser", method)
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.wait(`document.readyState === "complete" && document.getElementById("samples")?.children.length > 0`)
}

// run returns the value of a JavaScript expression as text.
func (b *browser) run(expression string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%.200s: %s", expression, got.ExceptionDetails.Text)
	}
	return fmt.Sprint(got.Result.Value)
}

// wait waits until a JavaScript expression is true.
func (b *browser) wait(expression string) {
	b.t.Helper()
	for end := time.Now().Add(3 * time.Minute); b.run("!!("+expression+")") != "true"; {
		if time.Now().After(end) {
			b.t.Fatalf("not true: %s; the page says\n%s", expression, tail(b.run("document.body.innerText"), 3000))
		}
		select { // the page has no event for this
		case <-b.t.Context().Done():
			b.t.FailNow()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// text returns the text of the element with an id.
func (b *browser) text(id string) string {
	b.t.Helper()
	return b.run(fmt.Sprintf("document.getElementById(%q).textContent", id))
}

func (b *browser) click(id string) {
	b.t.Helper()
	b.run(fmt.Sprintf("document.getElementById(%q).click()", id))
}

// choose gives files to the field of the page.
func (b *browser) choose(files []string) {
	b.t.Helper()
	var field struct{ Result struct{ ObjectID string } }
	b.call("Runtime.evaluate", map[string]any{"expression": `document.getElementById("files")`}, &field)
	b.call("DOM.setFileInputFiles", map[string]any{"files": files, "objectId": field.Result.ObjectID}, nil)
}

// clean fails the test if scripts had errors.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("the page has an error: %.600s", p)
	}
}

// screenshot writes a picture to the folder that RESNET18_SCREENSHOTS names, if any.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("RESNET18_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
