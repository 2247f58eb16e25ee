//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/web"
)

// classify is a classifier that knows one label.
type classify func(ctx context.Context) error

func (c classify) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	if strings.HasPrefix(image.Name, "broken") {
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "invalid JPEG format: bad Huffman code"}
	}
	if err := c(ctx); err != nil {
		return resnet18cloud.Result{}, err
	}
	p := float32(0.875)
	return resnet18cloud.Result{Filename: image.Name, Predictions: []string{"goldfinch"}, Model: "test@1",
		Scores: []resnet18cloud.Prediction{{Label: "goldfinch", Probability: &p}}}, nil
}

// servePage runs a dispatcher with the page in this process and returns its address and what stops it.
func servePage(t *testing.T, cfg dispatch.Config, c classify) (url string, stop func()) {
	t.Helper()
	page, err := web.Handler(web.Config{MaxImageBytes: cfg.MaxImageBytes})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.QueueCapacity == 0 {
		cfg.QueueCapacity = 200
	}
	cfg.Page, cfg.Log, cfg.CacheSize = page, slog.New(slog.DiscardHandler), -1
	cfg.Queue, cfg.Store = memqueue.New(cfg.QueueCapacity, time.Minute), memstore.New(time.Hour, 10000)
	cfg.Classifier = c
	cfg.DrainTimeout = 2 * time.Second
	d, err := dispatch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-ended; err != nil {
				t.Logf("the dispatcher ended: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return d.URL(), stop
}

// pictures writes n different small files and returns their paths.
func pictures(t *testing.T, n int) []string {
	t.Helper()
	dir := t.TempDir()
	base := picture(1)
	paths := make([]string, n)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("%04d.jpg", i))
		// What follows the end of a JPEG is ignored; it makes the files different.
		if err := os.WriteFile(paths[i], append(base[:len(base):len(base)], fmt.Sprint(i)...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// saved returns what a button of the page saves.
func (b *browser) saved(button string) string {
	b.t.Helper()
	return b.run(fmt.Sprintf(`(async () => {
		const create = URL.createObjectURL;
		let blob;
		URL.createObjectURL = (b) => { blob = b; return create(b); };
		document.getElementById(%q).click();
		URL.createObjectURL = create;
		return await blob.text();
	})()`, button))
}

// TestPageBatch sends 103 files to a server whose queue has room for two: the page waits by itself, and no result is lost.
func TestPageBatch(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1280, 900, false)
	url, _ := servePage(t, dispatch.Config{QueueCapacity: 2, ClassifierSlots: 1}, func(ctx context.Context) error { return nil })
	b.open(url)
	files := pictures(t, 100)
	dir := filepath.Dir(files[0])
	long := filepath.Join(dir, strings.Repeat("a-very-long-name-", 12)+"<img src=x>.jpg")
	for name, data := range map[string]string{filepath.Join(dir, "broken.jpg"): "\xff\xd8\xffno picture", filepath.Join(dir, "empty.jpg"): "", long: string(picture(2))} {
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	b.choose(files)
	b.wait(`document.getElementById("progress-text").textContent.startsWith("103 of 103 done")`)
	if got := b.text("progress-text"); got != "103 of 103 done · 2 unusable" {
		t.Errorf("progress %q", got)
	}
	b.screenshot("batch")
	if got := b.run(`document.querySelectorAll(".card[data-phase=done] .labels li").length`); got != "101" {
		t.Errorf("%s results are shown, want 101", got)
	}
	if got := b.run(`[...document.querySelectorAll(".problem:not([hidden])")].map((p) => p.textContent).sort().join("|")`); got != "The file is damaged: it cannot be decoded.|The file is empty." {
		t.Errorf("problems %q", got)
	}
	b.wait(`document.getElementById("unusable").textContent === "1"`)
	if got := b.text("failed"); got != "0" {
		t.Errorf("%s failed, want 0: the pictures were at fault", got)
	}
	if got := b.run(`document.querySelector("img[src=x]") === null && document.getElementById("results").textContent.includes("<img src=x>")`); got != "true" {
		t.Error("the name of a file is taken for HTML")
	}
	csv := b.saved("save-csv")
	if n := strings.Count(csv, "\r\n"); n != 104 || !strings.Contains(csv, "0042.jpg,done,,,test@1,") || !strings.Contains(csv, ",goldfinch,0.875,") {
		t.Errorf("CSV of %d lines:\n%s", n, tail(csv, 1000))
	}
	if text := b.saved("save-json"); strings.Count(text, `"goldfinch"`) < 101 {
		t.Errorf("JSON:\n%s", tail(text, 1000))
	}
	b.run(`document.querySelector(".card[data-phase=done] .open").click()`)
	b.wait(`document.getElementById("large").open && document.getElementById("large-picture").naturalWidth === 400`)
	b.click("next")
	b.wait(`document.getElementById("large-name").textContent === "0001.jpg"`)
	b.screenshot("large")
	b.click("close")
	b.click("clear")
	b.wait(`document.getElementById("batch").hidden && document.querySelectorAll(".card").length === 0`)
	b.clean()
}

// TestBatchSendsOnce cancels a picture that waits, and retries it before its turn.
func TestBatchSendsOnce(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1280, 900, false)
	url, _ := servePage(t, dispatch.Config{}, func(context.Context) error { return nil })
	b.open(url)
	got := b.run(`(async () => {
		const { Batch } = await import("./page/batch.js");
		const sent = [];
		const api = async (path, { body }) => { sent.push(body.get("image").name); return Response.json({ status: "completed", request_id: "1", result: {} }); };
		const over = Promise.withResolvers();
		const batch = new Batch({ api, atOnce: 1, changed: () => { if (batch.counts().done === 4) setTimeout(over.resolve); } });
		const [, , last] = ["a", "b", "c"].map((name) => batch.add(name, new Blob([name])));
		batch.cancel(last);
		batch.retry(last);
		batch.add("d", new Blob(["d"]));
		await over.promise;
		return sent.join();
	})()`)
	if got != "a,b,c,d" {
		t.Errorf("sent %s, want a,b,c,d", got)
	}
	b.clean()
}

// TestPageFull checks that two thousand files, as many as the page takes, all have results, and that few thumbnails are
// loaded.
func TestPageFull(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1280, 900, false)
	url, _ := servePage(t, dispatch.Config{}, func(context.Context) error { return nil })
	b.open(url)
	b.choose(pictures(t, 2001))
	for n := 500; n <= 2000; n += 500 { // each of them in the time that wait allows
		b.until(fmt.Sprint(n, " are done"), fmt.Sprintf(`document.getElementById("progress").value >= %d`, n))
	}
	b.wait(`document.getElementById("progress-text").textContent === "2000 of 2000 done"`)
	if got := b.run(`document.querySelectorAll(".card[data-phase=done] .labels li").length`); got != "2000" {
		t.Errorf("%s results are shown, want 2000", got)
	}
	if got := b.text("sample-problem"); !strings.Contains(got, "1 were not taken") {
		t.Errorf("the page does not say that it leaves one out: %q", got)
	}
	b.wait(`document.querySelectorAll(".thumb[src]").length < 60`)
	b.run(`window.scrollTo(0, document.body.scrollHeight)`)
	b.wait(`[...document.querySelectorAll(".thumb")].at(-1).naturalWidth > 0`)
	b.wait(`document.querySelectorAll(".thumb[src]").length < 60`)
	var heap struct{ UsedSize, EmbedderHeapUsedSize float64 } // of scripts and of elements
	b.call("HeapProfiler.collectGarbage", nil, nil)
	b.call("Runtime.getHeapUsage", nil, &heap)
	t.Logf("%.1f MB for scripts, %.1f MB for elements", heap.UsedSize/1e6, heap.EmbedderHeapUsedSize/1e6)
	if used := heap.UsedSize + heap.EmbedderHeapUsedSize; used == 0 || used > 100e6 {
		t.Errorf("2000 results take %.1f MB, want at most 100", used/1e6)
	}
	b.clean()
}

// TestPageWaits stops the server while pictures wait, and cancels and retries some.
func TestPageWaits(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1280, 900, false)
	var open atomic.Bool
	hold := func(ctx context.Context) error {
		if open.Load() {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	url, stop := servePage(t, dispatch.Config{}, hold)
	b.open(url)
	b.choose(pictures(t, 8))
	b.wait(`document.querySelector(".card[data-phase=processing]")`)
	b.run(`document.querySelector(".card .cancel").click()`)
	b.wait(`document.getElementById("progress-text").textContent === "1 of 8 done · 1 cancelled"`)
	b.run(`document.querySelector(".card[data-phase=cancelled] .retry").click()`)
	b.wait(`document.getElementById("progress-text").textContent === "0 of 8 done"`)
	stop()
	b.wait(`document.getElementById("busy").textContent.includes("No connection")`)
	b.wait(`document.getElementById("health-text").textContent.includes("does not respond")`)
	b.screenshot("gone")
	open.Store(true)
	servePage(t, dispatch.Config{Addr: strings.TrimPrefix(url, "http://")}, hold)
	b.wait(`document.getElementById("progress-text").textContent === "8 of 8 done"`)
	b.wait(`document.getElementById("health-text").textContent === "healthy"`)
	open.Store(false)
	b.choose(pictures(t, 30))
	b.wait(`document.querySelector(".card[data-phase=processing]")`)
	b.click("cancel-all")
	b.wait(`document.getElementById("progress-text").textContent === "38 of 38 done · 30 cancelled"`)
	open.Store(true)
	b.click("retry-all")
	b.wait(`document.getElementById("progress-text").textContent === "38 of 38 done"`)
	b.clean()
}

// TestPageLooks opens the page below a path on a phone and on a desktop, in light and dark: nothing overflows, and axe-core
// has no findings.
func TestPageLooks(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	url, _ := servePage(t, dispatch.Config{BasePath: "/photos"}, func(context.Context) error { return nil })
	for _, c := range []struct {
		name  string
		width int
		dark  bool
	}{{"phone", 320, false}, {"desktop-dark", 1280, true}} {
		b := openBrowser(t, c.width, 900, c.dark)
		b.open(url + "/photos?sample=candle")
		b.wait(`document.querySelector(".card[data-phase=done]")`)
		files := pictures(t, 2)
		long := filepath.Join(filepath.Dir(files[0]), strings.Repeat("averylongname", 15)+".jpg")
		if err := os.Rename(files[1], long); err != nil {
			t.Fatal(err)
		}
		b.choose([]string{files[0], long})
		b.wait(`document.querySelectorAll(".card[data-phase=done]").length === 3`)
		b.wait(`document.getElementById("health-text").textContent === "healthy"`)
		if wide := b.run(`document.documentElement.scrollWidth`); wide != fmt.Sprint(c.width) {
			t.Errorf("%s: the page is %s wide", c.name, wide)
		}
		b.screenshot(c.name)
		b.run(`document.getElementById("results-title").scrollIntoView()`)
		b.screenshot(c.name + "-results")
		b.accessible(axe, c.name)
		b.clean()
	}
}

// accessible fails the test if axe-core, in axe, has findings on the open page. Nothing is checked without axe-core.
func (b *browser) accessible(axe, name string) {
	b.t.Helper()
	if axe == "" {
		return
	}
	b.run(axe + `; ""`)
	if got := b.run(`axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html + " " + n.failureSummary).join("; ")).join("\n"))`); got != "" {
		b.t.Errorf("%s: axe-core finds\n%s", name, got)
	}
}

// axeCore returns the source of axe-core, or nothing if it cannot be had.
func axeCore(t *testing.T) string {
	t.Helper()
	need(t, "npm")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@4").CombinedOutput()
	if err != nil {
		t.Logf("axe-core cannot be had, so accessibility is not checked: %v\n%s", err, tail(string(out), 300))
		return ""
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// TestPageReplicas kills one of two replicas and stops the other while a batch runs, without weights.
func TestPageReplicas(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1280, 900, false)
	s := up(t, t.TempDir(), noWeights, "--replicas", "2")
	b.open(s.url)
	b.wait(`document.getElementById("warning").textContent.includes("random")`)
	b.choose(pictures(t, 60))
	b.wait(`document.querySelector(".card[data-phase=done]")`)
	pids := s.replicaPIDs()
	if len(pids) != 2 {
		t.Fatalf("replicas %v, want two", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pids[1], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pids[1], syscall.SIGCONT) }()
	b.wait(`document.getElementById("progress-text").textContent === "60 of 60 done"`)
	b.clean()
}
