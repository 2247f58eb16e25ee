package monitoring_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/monitoring"
)

// TestFiles checks that the committed files are what the package makes.
func TestFiles(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]func() ([]byte, error){
		"prometheus/rules.yml":              monitoring.Rules,
		"prometheus/prometheusrule.yml":     monitoring.PrometheusRule,
		"../charts/resnet18cloud/rules.yml": monitoring.Rules, // a chart has only files of its own
		"grafana/resnet18cloud.json":        monitoring.Grafana,
	} {
		want, err := content()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("monitoring/%s is out of date (%v); repair with: go test ./monitoring -run Files -update", name, err)
		}
	}
}

// TestRules has Prometheus' own tool check the rules, and run the stories about them.
func TestRules(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's package prometheus)")
	}
	for _, args := range [][]string{{"check", "rules", "prometheus/rules.yml"}, {"test", "rules", "prometheus/rules_test.yml", "prometheus/rules_days_test.yml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestRulesAreTested checks that each recording rule has a story with a value, and each alert one in which it fires and one in
// which it does not.
func TestRulesAreTested(t *testing.T) {
	t.Parallel()
	var stories string
	for _, name := range []string{"prometheus/rules_test.yml", "prometheus/rules_days_test.yml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		stories += string(data)
	}
	for _, a := range monitoring.Alerts() {
		for _, fires := range []string{"1", "0"} {
			if !regexp.MustCompile(`ALERTS\{alertname="` + a.Name + `",alertstate="firing"\}\) or vector\(0\)'\n +eval_time: \w+\n +exp_samples: \[\{labels: '\{\}', value: ` + fires + `\}\]`).MatchString(stories) {
				t.Errorf("no story has %s firing for %s series", a.Name, fires)
			}
		}
	}
	for _, r := range monitoring.Records() {
		if !regexp.MustCompile(`expr: '(round\()?` + r.Name + `[',]`).MatchString(stories) {
			t.Errorf("no story has a value of %s", r.Name)
		}
	}
}

// TestQuestions checks the table of questions in docs/operations.md.
func TestQuestions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(testutil.Root(t), "docs", "operations.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- questions -->\n", "<!-- end -->"
	before, rest, found := strings.Cut(string(data), begin)
	table, after, closed := strings.Cut(rest, end)
	want := monitoring.QuestionTable()
	switch {
	case !found || !closed:
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case table != want:
		t.Errorf("the questions in docs/operations.md are out of date; repair with: go test ./monitoring -run Questions -update")
	}
}

// TestRunbooks checks that docs/operations.md has a section for each alert, and none for others.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(testutil.Root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, runbooks, found := strings.Cut(string(data), "\n## Runbooks\n")
	if !found {
		t.Fatal("docs/operations.md has no section Runbooks")
	}
	runbooks, _, _ = strings.Cut(runbooks, "\n## ")
	var have, want []string
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(runbooks, -1) {
		have = append(have, m[1])
	}
	for _, a := range monitoring.Alerts() {
		want = append(want, a.Name)
		if !strings.HasSuffix(a.Runbook(), "docs/operations.md#"+strings.ToLower(a.Name)) {
			t.Errorf("the runbook of %s is %s", a.Name, a.Runbook())
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("runbooks in docs/operations.md:\n%v\nwant\n%v", have, want)
	}
}
