package monitoring_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// families reads metrics.
func families(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestReference checks the tables of docs/metrics.md against what servers export.
func TestReference(t *testing.T) {
	t.Parallel()
	parts := startParts(t)
	file := filepath.Join(testutil.Root(t), "docs", "metrics.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		rows := map[string]string{}
		for name, f := range families(t, scrape(t, parts[part])) {
			if ours := strings.HasPrefix(name, "resnet18_") || strings.HasPrefix(name, "autoscaler_"); ours {
				rows[name] = row(name, f)
			}
		}
		if part == "autoscaler" { // of the policies that are not running
			for name, help := range autoscale.FigureHelp() {
				name = "resnet18_autoscaler_" + name
				rows[name] = fmt.Sprintf("| `%s` | gauge | | %s, at the last decision. |\n", name, help)
			}
		}
		table := "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			table += rows[name]
		}
		begin, end := "<!-- metrics of "+part+" -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(page, begin)
		old, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no table between %q and %q", file, begin, end)
		}
		if old != table && !*update {
			t.Errorf("docs/metrics.md is not what a %s exports; repair with: go test ./monitoring -run Reference -update\nwant\n%s", part, table)
		}
		page = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// row is the line of the reference about a metric.
func row(name string, f *dto.MetricFamily) string {
	labels := map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			labels["`"+l.GetName()+"`"] = true
		}
	}
	column := strings.Join(slices.Sorted(maps.Keys(labels)), ", ")
	if column != "" {
		column += " "
	}
	return fmt.Sprintf("| `%s` | %s | %s| %s |\n", name, strings.ToLower(f.GetType().String()), column, f.GetHelp())
}

// TestPromtoolLints has Prometheus' own tool check the metrics of every part.
func TestPromtoolLints(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's package prometheus)")
	}
	for part, url := range startParts(t) {
		check := exec.Command(promtool, "check", "metrics")
		check.Stdin = strings.NewReader(scrape(t, url))
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics of a %s: %v\n%s", part, err, out)
		}
	}
}

// TestFreshServersHaveZeros checks that no counter and no histogram of a server that has done nothing is missing: each has
// the same series after its first error as before.
func TestFreshServersHaveZeros(t *testing.T) {
	t.Parallel()
	parts := startParts(t)
	for part, url := range parts {
		all := families(t, scrape(t, url))
		for _, metric := range map[string][]string{
			"dispatcher": {"requests_accepted_total 2", "requests_refused_total 17", "requests_limited_total 6", "requests_ended_total 19",
				"forward_attempts_total 18", "webhooks_total 3", "stage_duration_seconds 7", "request_duration_seconds 2", "estimate_error_seconds 2",
				"storage_errors_total 4", "queue_redeliveries_total 1", "nats_disconnects_total 1"},
			"replica":    {"requests_total 18", "stage_duration_seconds 4", "busy_seconds_total 1"},
			"autoscaler": {"changes_total 2", "failures_total 3", "replica_start_duration_seconds 1"},
		}[part] {
			name, want, _ := strings.Cut(metric, " ")
			name = "resnet18_" + part + "_" + name
			if got := fmt.Sprint(len(all[name].GetMetric())); got != want {
				t.Errorf("a fresh %s has %s series of %s, want %s", part, got, name, want)
			}
		}
		if len(all["resnet18_"+part+"_http_errors_total"].GetMetric())%17 != 0 {
			t.Errorf("a fresh %s lacks codes of http_errors_total", part)
		}
	}
}
