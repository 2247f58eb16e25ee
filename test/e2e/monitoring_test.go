//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/monitoring"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// prometheus is a running Prometheus.
type prometheus struct {
	t   *testing.T
	url string
}

// scraping starts a Prometheus with our rules that scrapes targets once a second.
func scraping(t *testing.T, targets []string, flags ...string) *prometheus {
	t.Helper()
	need(t, "prometheus")
	rules, err := filepath.Abs("../../monitoring/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - job_name: resnet18\n    static_configs: [{targets: [%s]}]\n",
		rules, strings.Join(targets, ", "))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := harness.FreeAddr(t)
	cmd := exec.Command("prometheus", append([]string{"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr, "--log.level=warn"}, flags...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(tail(log.String(), 3000))
		}
	})
	p := &prometheus{t, "http://" + addr}
	p.eventually(time.Minute, `up{job="resnet18"} == 1`)
	return p
}

// series is a series of an answer of Prometheus.
type series struct {
	Metric map[string]string
	Value  [2]any   // of an instant query
	Values [][2]any // of a range query
}

// value reads a sample.
func value(t *testing.T, sample [2]any) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(fmt.Sprint(sample[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ask sends a query to an endpoint below /api/v1.
func (p *prometheus) ask(endpoint string, form url.Values) []series {
	p.t.Helper()
	resp, err := http.PostForm(p.url+"/api/v1/"+endpoint, form)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []series }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s: %s %v", form.Get("query"), answer.Error, err)
	}
	return answer.Data.Result
}

// query evaluates a query now, without values that are not numbers.
func (p *prometheus) query(expr string) map[string]float64 {
	p.t.Helper()
	values := map[string]float64{}
	for _, s := range p.ask("query", url.Values{"query": {windowed(expr)}}) {
		delete(s.Metric, "__name__")
		var labels []string
		for _, v := range s.Metric {
			labels = append(labels, v)
		}
		slices.Sort(labels)
		if v := value(p.t, s.Value); !math.IsNaN(v) {
			values[strings.Join(labels, " ")] = v
		}
	}
	return values
}

// windowed replaces Grafana's window.
func windowed(expr string) string { return strings.ReplaceAll(expr, "$__rate_interval", "30s") }

// eventually waits until a query has an answer.
func (p *prometheus) eventually(limit time.Duration, expr string) map[string]float64 {
	p.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get(p.url + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				if values := p.query(expr); len(values) > 0 {
					return values
				}
			}
		}
		if time.Now().After(deadline) {
			p.t.Errorf("no data after %v: %s", limit, windowed(expr))
			return nil
		}
	}
}

// load sends pictures, some of them again, for a time, and returns how long those took that were answered.
func (s *system) load(clients int, length time.Duration) []time.Duration {
	s.t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var group sync.WaitGroup
	end := time.Now().Add(length)
	for c := range clients {
		group.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				n := i*clients + c
				if i%4 == 3 {
					n = c // known
				}
				start := time.Now()
				resp, err := http.Post(s.url+"/predict", "image/jpeg", bytes.NewReader(picture(n)))
				if err != nil {
					s.t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					mu.Lock()
					took = append(took, time.Since(start))
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	slices.Sort(took)
	return took
}

// TestMonitoring has a real Prometheus scrape a running system under load, with an image that is broken and images that are
// refused. Every query of the dashboard, of the rules and of the operators' questions must have an answer.
func TestMonitoring(t *testing.T) {
	need(t, "prometheus")
	autoscaler, replica, second := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t) // the port after the first replica's
	_, port, _ := net.SplitHostPort(replica)
	args := []string{"--log-format", "json", "up", "--addr", "127.0.0.1:0", "--replica-port", port, "--autoscale", "1:2", "--autoscaler-addr", autoscaler,
		"--queue-capacity", "24", "--precision", "int8"}
	if weights != "" {
		args = append(args, "--model", weights)
	}
	s := startWith(t, t.TempDir(), []string{"RESNET18_OBSERVE=8", "RESNET18_OBSERVE_AGREEMENT=0", "RESNET18_OBSERVE_SHARE=1"},
		regexp.MustCompile(`is running at (http://\S+)`), args...)
	dispatcher := strings.TrimPrefix(s.url, "http://")
	targets := []string{dispatcher, autoscaler, replica, second}
	p := scraping(t, targets)
	native := scraping(t, targets[:1], "--enable-feature=native-histograms")

	broken := func() {
		t.Helper()
		resp, err := http.Post(s.url+"/predict", "image/jpeg", strings.NewReader("\xff\xd8\xff broken"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("a broken image: %s", resp.Status)
		}
	}
	t.Run("first error", func(t *testing.T) {
		p.eventually(time.Minute, `resnet18_dispatcher_requests_ended_total{outcome="undecodable"} == 0`)
		before := p.query(`increase(resnet18_dispatcher_requests_ended_total{outcome="undecodable"}[1m]) > 0`)
		broken()
		after := p.eventually(30*time.Second, `increase(resnet18_dispatcher_requests_ended_total{outcome="undecodable"}[1m]) > 0`)
		for _, v := range after {
			if len(before) > 0 || v < 0.9 || v > 3 {
				t.Errorf("before %v, after the first broken image %v, want about 1", before, after)
			}
		}
	})

	start := time.Now()
	took := s.load(3, 25*time.Second)
	// Images are compared at the lowest priority, after enough have been collected.
	for deadline := time.Now().Add(time.Minute); len(p.query(`sum(resnet18_replica_quantization_compared_total) > 0`)) == 0 && time.Now().Before(deadline); {
		took = append(took, s.load(1, time.Second)...)
	}
	slices.Sort(took)
	var refused int
	for range 3 { // more at a time than the queue has room for
		var group sync.WaitGroup
		var mu sync.Mutex
		for i := range 60 {
			group.Go(func() {
				if _, err := s.submit("a.jpg", picture(100_000+int(time.Now().UnixNano()%1e6)*100+i)); err != nil {
					mu.Lock()
					defer mu.Unlock()
					refused++
				}
			})
		}
		group.Wait()
	}
	if refused == 0 || len(took) < 20 {
		t.Fatalf("%d refused, %d answered: want some of both", refused, len(took))
	}
	s.load(2, 3*time.Second)
	broken()
	p.eventually(10*time.Second, `rate(resnet18_dispatcher_forward_attempts_total{outcome="undecodable"}[30s]) > 0`)
	if file := os.Getenv("E2E_PICTURE"); file != "" { // for the docs
		p.draw(file, start)
	}

	t.Run("dashboard", func(t *testing.T) {
		for _, row := range monitoring.Dashboard() {
			for _, panel := range row.Panels {
				for _, q := range panel.Queries {
					p.eventually(10*time.Second, q.Expr)
				}
			}
		}
	})
	t.Run("rules", func(t *testing.T) {
		for _, r := range monitoring.Records() {
			p.eventually(10*time.Second, r.Name)
		}
		selector := regexp.MustCompile(`(?:resnet18[_:][\w:]+|process_\w+|\bup)(?:\{[^}]*\})?`)
		for _, a := range monitoring.Alerts() { // they should not fire, so that only their series are there
			found := selector.FindAllString(a.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s asks for nothing: %s", a.Name, a.Expr)
			}
			for _, series := range found {
				p.eventually(10*time.Second, series)
			}
		}
		for _, s := range p.ask("query", url.Values{"query": {`ALERTS{alertstate="firing"}`}}) {
			t.Logf("firing: %v", s.Metric)
		}
	})
	t.Run("questions", func(t *testing.T) { p.checkAnswers(t, s, took) })
	t.Run("native histograms", func(t *testing.T) {
		v := native.eventually(20*time.Second, `histogram_quantile(0.99, sum(rate(resnet18_dispatcher_request_duration_seconds[5m]))) > 0`)
		t.Logf("p99 of native histograms %v, of classic ones %v", v, p.query(monitoring.Questions()[0].Expr))
	})
}

// checkAnswers asks the operators' questions, and compares the answers with what was done.
func (p *prometheus) checkAnswers(t *testing.T, s *system, took []time.Duration) {
	_, status := s.get("/status")
	cache, _ := status["cache_metrics"].(map[string]any)
	hits, _ := cache["hits"].(float64)
	misses, _ := cache["misses"].(float64)
	p99 := took[len(took)*99/100].Seconds()
	// The range of the answer, or of each. Images that had to wait in the flood took longer than those that p99 is of.
	const flood = 60
	want := map[string][2]float64{
		"How long do answers take?":             {p99 / 3, flood}, // a bucket ends at up to 2.5 times its begin
		"Where is the time spent?":              {0, flood},
		"How long does a submission take?":      {p99 / 1e4, flood},
		"What share of requests fails":          {1e-6, 1},
		"What share of accepted images fails":   {1e-6, 0.2}, // one
		"How many images wait":                  {0, 24},
		"How full is the queue":                 {0, 1},
		"How busy are the replicas?":            {0.01, 1.2}, // slots of a replica that has just ended leave after five minutes
		"What share comes from the cache?":      {hits/(hits+misses) - 0.1, hits/(hits+misses) + 0.1},
		"Are there as many replicas as wanted?": {-1, 1},
		"How wrong are estimated waits?":        {-20, 20},
		"How many cold starts":                  {0.9, 20},
		"How long do they take?":                {0.01, 60},
		"Are queue, results and NATS well?":     {1, 1},
		"Which versions run?":                   {3, 4}, // dispatcher, autoscaler, one or two replicas
		"Do int8 and fp32 agree?":               {0, 1},
	}
	asked := 0
	for _, q := range monitoring.Questions() {
		answer := p.eventually(20*time.Second, q.Expr)
		t.Logf("%s %v", q.Text, answer)
		for question, limits := range want {
			if !strings.HasPrefix(q.Text, question) {
				continue
			}
			asked++
			for labels, v := range answer {
				if v < limits[0] || v > limits[1] {
					t.Errorf("%s %s: %v, want %v to %v", q.Text, labels, v, limits[0], limits[1])
				}
			}
		}
		for question, labels := range map[string][]string{
			"Where is the time spent?":            {"cache", "queue", "forward", "replica", "decode", "preprocess", "inference"},
			"What share of requests fails":        {"full", "undecodable"},
			"What share of accepted images fails": {"undecodable"},
			"How full is the queue":               {"queue", "slots", "upload memory", "connections", "storage"},
		} {
			for _, label := range labels {
				if _, ok := answer[label]; strings.HasPrefix(q.Text, question) && !ok {
					t.Errorf("%s: no answer for %s: %v", q.Text, label, answer)
				}
			}
		}
	}
	if asked != len(want) || asked != len(monitoring.Questions()) {
		t.Errorf("%d questions have expected values, of %d", asked, len(monitoring.Questions()))
	}
}

// draw draws the dashboard since start.
func (p *prometheus) draw(file string, start time.Time) {
	p.t.Helper()
	lines := map[string][]monitoring.Line{}
	var panels []monitoring.Panel
	for _, row := range monitoring.Dashboard() {
		for _, panel := range row.Panels {
			panels = append(panels, panel)
			for _, q := range panel.Queries {
				for _, s := range p.ask("query_range", url.Values{"query": {windowed(q.Expr)}, "step": {"1"},
					"start": {fmt.Sprint(start.Unix())}, "end": {fmt.Sprint(time.Now().Unix())}}) {
					line := monitoring.Line{Name: monitoring.LegendOf(q.Legend, s.Metric)}
					for _, v := range s.Values {
						if at, ok := v[0].(float64); ok && !math.IsNaN(value(p.t, v)) {
							line.Points = append(line.Points, chart.Point{X: at - float64(start.Unix()), Y: value(p.t, v)})
						}
					}
					if len(line.Points) > 0 {
						lines[panel.Title] = append(lines[panel.Title], line)
					}
				}
			}
		}
	}
	if err := os.WriteFile(file, []byte(monitoring.Picture(panels, lines)), 0o644); err != nil {
		p.t.Fatal(err)
	}
}
