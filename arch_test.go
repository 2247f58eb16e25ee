package resnet18cloud_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/resnet18cloud/resnet18cloud"

// pkg is the part of go list's output that the tests need.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

// rel returns the package's path inside the module, "." for the root.
func (p pkg) rel() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	pkgs, err := packages()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return pkgs
}

// packages runs go list once for all tests, in the package's folder, which is the module's.
var packages = sync.OnceValues(func() (pkgs []pkg, err error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...").Output()
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs, nil
		}
		if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
})

// under reports whether rel is one of the given folders or inside one.
func under(rel string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return rel == f || strings.HasPrefix(rel, f+"/")
	})
}

// TestImportsPointOneWay checks the direction of dependencies, and that what has one owner stays with it. Each rule bans packages, by import path prefix,
// outside a few folders, and states the reason.
func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	pkgs := listPackages(t)
	rules := []struct {
		ban    string
		direct bool // only direct imports; otherwise transitive ones too
		in     func(rel string) bool
		why    string
	}{
		{module + "/", false, func(r string) bool { return r == "." },
			"every package may import the root package, so it imports only the standard library"},
		{"net/http", false, func(r string) bool { return under(r, "engine") },
			"the engine classifies bytes in one process; serving is the replica package's job"},
		{"log/slog", false, func(r string) bool { return under(r, "engine") },
			"the engine returns errors and timings; its callers log"},
		{"github.com/nats-io/", true, func(r string) bool {
			return !under(r, "dispatch/queue/jsqueue", "dispatch/store/jsstore", "internal/natsconn", "test")
		}, "NATS is hidden behind the queue and store interfaces"},
		{"go.opentelemetry.io/", true, func(r string) bool { return !under(r, "internal/tracing", "test") },
			"other packages record spans by internal/tracing"},
		{module + "/internal/tracing/otlp", true, func(r string) bool { return !under(r, "cmd", "test") },
			"only commands choose where spans go; what they contain stays small"},
		{"k8s.io/client-go", true, func(r string) bool { return !under(r, "autoscale/kube", "test") },
			"Kubernetes is one actuator of several"},
		{module + "/", false, func(r string) bool { return under(r, "schedule", "internal/queueing", "internal/images") },
			"leaves import no other package of this module"},
		{module + "/cmd", true, func(string) bool { return true },
			"commands only wire packages together; nothing imports them"},
		{"github.com/alecthomas/kong", true, func(r string) bool { return !under(r, "cmd", "internal/config", "internal/usage") },
			"only commands read flags"},
	}
	for _, p := range pkgs {
		for _, rule := range rules {
			if !rule.in(p.rel()) {
				continue
			}
			imports := p.Imports
			if !rule.direct {
				imports = p.Deps
			}
			for _, dep := range imports {
				if strings.HasPrefix(dep, rule.ban) {
					t.Errorf("%s imports %s: %s", p.rel(), dep, rule.why)
				}
			}
		}
	}
}

// TestPartsMeetOverHTTP checks that the parts of the system do not contain each other, except where the table says so, and
// that packages in internal contain none of them.
func TestPartsMeetOverHTTP(t *testing.T) {
	t.Parallel()
	parts := map[string]struct {
		contains []string
		why      string
	}{
		"autoscale": {[]string{"schedule"}, "the autoscaler reads the dispatcher's figures over HTTP; it shares schedules with the load tester, and nothing else"},
		"catalog":   {nil, "the catalog knows models only as Classifiers, so that it can be tested without engines"},
		"client":    {nil, "programs of others contain the client, and no more than it needs"},
		"dispatch":  {nil, "the dispatcher knows ResNet only as a Classifier, and replicas only by their addresses"},
		"engine":    {nil, "the engine classifies bytes in one process"},
		"internal":  {nil, "what many parts use has no meaning in the domain"},
		"load":      {[]string{"client", "schedule"}, "the load tester measures any server; a caller that needs tensors passes an encoder"},
		"model":     {[]string{"engine"}, "weights are checked and converted by the code that runs them"},
		"replica":   {nil, "the replica knows the engine only as a Classifier"},
		"schedule":  {nil, "a schedule is for real servers and for simulated ones"},
		"teach":     {[]string{"engine", "model"}, "features come from the engine's network, and the result is a model file"},
		"web":       {nil, "the page is files"},
	}
	for _, p := range listPackages(t) {
		own, _, _ := strings.Cut(p.rel(), "/")
		part, ok := parts[own]
		if !ok {
			continue
		}
		for _, dep := range p.Deps {
			rel, ok := strings.CutPrefix(dep, module+"/")
			if !ok {
				continue
			}
			other, _, _ := strings.Cut(rel, "/")
			if other != own && other != "internal" && !slices.Contains(part.contains, other) {
				t.Errorf("%s contains %s: %s", p.rel(), rel, part.why)
			}
		}
	}
}

// TestEngineNeedsLittle checks that the engine uses no module but those named here.
func TestEngineNeedsLittle(t *testing.T) {
	t.Parallel()
	allowed := []string{"golang.org/x/sys", "golang.org/x/sync", "google.golang.org/protobuf/encoding/protowire"}
	for _, p := range listPackages(t) {
		for _, dep := range p.Imports {
			first, _, _ := strings.Cut(dep, "/")
			if under(p.rel(), "engine") && strings.Contains(first, ".") && !under(dep, module) && !under(dep, allowed...) {
				t.Errorf("%s imports %s: the engine needs CPU features, memory maps and semaphores, and no other module", p.rel(), dep)
			}
		}
	}
}

// TestNoTestsInPrograms checks that packages for tests, named like queuetest, are imported by tests and by each other only.
func TestNoTestsInPrograms(t *testing.T) {
	t.Parallel()
	forTests := func(name string) bool { return strings.HasSuffix(name, "test") || path.Base(name) == "testutil" }
	for _, p := range listPackages(t) {
		if under(p.rel(), "test") || forTests(p.ImportPath) {
			continue
		}
		for _, dep := range p.Imports {
			if dep == "testing" || dep == "net/http/httptest" || under(dep, module) && forTests(dep) {
				t.Errorf("%s imports %s, which belongs in its tests", p.rel(), dep)
			}
		}
	}
}

// TestLoadPointsOneWay checks that each package of the load tester imports only those below it: results and targets do
// not import each other, a run joins them, a search starts runs, and reports present the results.
func TestLoadPointsOneWay(t *testing.T) {
	t.Parallel()
	below := map[string][]string{
		"load/result":            nil,
		"load/result/resulttest": {"load/result"},
		"load/target":            nil,
		"load/slo":               {"load/result"},
		"load":                   {"load/result", "load/target"},
		"load/search":            {"load", "load/result", "load/slo"},
		"load/compare":           {"load/result"},
		"load/report":            {"load/result", "load/slo", "load/search", "load/compare"},
		"load/plan":              nil,
	}
	for _, p := range listPackages(t) {
		if !under(p.rel(), "load") {
			continue
		}
		allowed, ok := below[p.rel()]
		if !ok {
			t.Errorf("%s has no place among the packages of the load tester: add it above", p.rel())
		}
		for _, dep := range p.Imports {
			if rel := strings.TrimPrefix(dep, module+"/"); under(rel, "load") && !slices.Contains(allowed, rel) {
				t.Errorf("%s imports %s", p.rel(), rel)
			}
		}
	}
}

// TestSiblingsUnderDispatch checks that only dispatch joins its subpackages, and that these do not import each other.
func TestSiblingsUnderDispatch(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		rel, ok := strings.CutPrefix(p.rel(), "dispatch/")
		if !ok {
			continue
		}
		own, _, _ := strings.Cut(rel, "/")
		for _, dep := range p.Imports {
			if other, ok := strings.CutPrefix(dep, module+"/dispatch/"); ok && !under(other, own) {
				t.Errorf("dispatch/%s imports dispatch/%s: only dispatch joins its subpackages", rel, other)
			}
		}
	}
}

// TestPrometheusOnlyInMetricsFiles checks that each package declares its metrics in one file.
func TestPrometheusOnlyInMetricsFiles(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		if under(p.rel(), "internal/httpx", "cmd") {
			continue
		}
		for _, file := range p.GoFiles {
			if path.Base(file) != "metrics.go" && importsOf(t, p.Dir, file, "github.com/prometheus/client_golang") {
				t.Errorf("%s/%s imports Prometheus: collectors belong in metrics.go", p.rel(), file)
			}
		}
	}
}
