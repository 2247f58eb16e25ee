package resnet18cloud_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestDocsIndex checks that the index of docs/ links every page.
func TestDocsIndex(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testutil.Root(t), "docs")
	index := readDoc(t, filepath.Join(dir, "README.md"))
	for _, name := range markdown(t, dir) {
		if name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// TestDecisionsIndex checks that the index has one row for each decision, in the order of their numbers, with a status and a
// date.
func TestDecisionsIndex(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testutil.Root(t), "docs", "decisions")
	row := regexp.MustCompile(`(?m)^\| (\d+) \| \[.+\]\((\d{4})(-[a-z0-9-]+\.md)\) \| (?:accepted|superseded by \d+)(?:, revised \d{4}-\d\d-\d\d)? \| \d{4}-\d\d-\d\d \|$`)
	var listed []string
	for _, m := range row.FindAllStringSubmatch(readDoc(t, filepath.Join(dir, "README.md")), -1) {
		if strings.TrimLeft(m[2], "0") != m[1] {
			t.Errorf("the row of number %s links %s%s", m[1], m[2], m[3])
		}
		listed = append(listed, m[2]+m[3])
	}
	have := slices.DeleteFunc(markdown(t, dir), func(name string) bool { return name == "README.md" })
	if !slices.Equal(listed, have) {
		t.Errorf("docs/decisions/README.md lists\n%s\nwant\n%s", strings.Join(listed, "\n"), strings.Join(have, "\n"))
	}
	for i, name := range have[1:] {
		if name[:4] == have[i][:4] {
			t.Errorf("%s and %s have the same number", have[i], name)
		}
	}
}

// TestDecisionsInCode checks that decisions which code refers to exist.
func TestDecisionsInCode(t *testing.T) {
	t.Parallel()
	root := testutil.Root(t)
	link := regexp.MustCompile(`docs/decisions/\d{4}-[a-z0-9-]+\.md`)
	for _, p := range listPackages(t) {
		for _, name := range p.GoFiles {
			for _, target := range link.FindAllString(readDoc(t, filepath.Join(p.Dir, name)), -1) {
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s/%s refers to %s, which does not exist", p.rel(), name, target)
				}
			}
		}
	}
}

// TestEndpointsAreDocumented checks that docs/api.md names every endpoint of the dispatcher.
func TestEndpointsAreDocumented(t *testing.T) {
	t.Parallel()
	root := testutil.Root(t)
	api := readDoc(t, filepath.Join(root, "docs", "api.md"))
	patterns := regexp.MustCompile(`(?:Add|Handle)\("[A-Z]+ (/[^"]*)"`).FindAllStringSubmatch(readDoc(t, filepath.Join(root, "dispatch", "routes.go")), -1)
	if len(patterns) < 10 {
		t.Fatalf("only %d endpoints were found in dispatch/routes.go", len(patterns))
	}
	for _, m := range patterns {
		if path := m[1]; !strings.HasPrefix(path, "/page/") && path != "/{$}" && !strings.Contains(api, path) {
			t.Errorf("docs/api.md does not mention %s", path)
		}
	}
}

// TestResultsAreDocumented checks that docs/api.md names each field of a result.
func TestResultsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Results\n")
	section, _, _ = strings.Cut(section, "\n## ")
	timing, err := json.Marshal(resnet18cloud.Timing{Cache: 1, Queue: 1, Forward: 1, Replica: 1, Decode: 1, Preprocess: 1, Inference: 1})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(string(timing), -1) {
		names = append(names, m[1])
	}
	for _, v := range []any{resnet18cloud.Result{}, resnet18cloud.Prediction{}, resnet18cloud.ModelInfo{}} {
		for field := range reflect.TypeOf(v).Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		if !regexp.MustCompile("`" + name + "(\\[\\])?`").MatchString(section) {
			t.Errorf("docs/api.md does not describe %q of a result", name)
		}
	}
}

// TestLinksOfDocs checks that the files which pages link exist.
func TestLinksOfDocs(t *testing.T) {
	t.Parallel()
	root := testutil.Root(t)
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	for _, dir := range []string{".", "docs", "docs/decisions"} {
		for _, name := range markdown(t, filepath.Join(root, dir)) {
			for _, m := range link.FindAllStringSubmatch(readDoc(t, filepath.Join(root, dir, name)), -1) {
				if _, err := os.Stat(filepath.Join(root, dir, m[1])); err != nil {
					t.Errorf("%s links %s, which does not exist", path.Join(dir, name), m[1])
				}
			}
		}
	}
}

func markdown(t *testing.T, dir string) []string {
	t.Helper()
	names, err := fs.Glob(os.DirFS(dir), "*.md")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func readDoc(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestClaimsHaveTests checks that every test named in docs/security.md exists.
func TestClaimsHaveTests(t *testing.T) {
	t.Parallel()
	root := testutil.Root(t)
	defined := map[string]bool{}
	definition := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		for _, m := range definition.FindAllStringSubmatch(readDoc(t, file), -1) {
			defined[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	claims := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(readDoc(t, filepath.Join(root, "docs", "security.md")), -1)
	if len(claims) < 30 {
		t.Errorf("docs/security.md names %d tests", len(claims))
	}
	for _, c := range claims {
		if !defined[c[1]] {
			t.Errorf("docs/security.md names %s, which does not exist", c[1])
		}
	}
}

// TestSlowPackages checks that make slow tests every package that has tests for it.
func TestSlowPackages(t *testing.T) {
	t.Parallel()
	root := testutil.Root(t)
	_, list, found := strings.Cut(readDoc(t, filepath.Join(root, "Makefile")), "\nSLOW_PACKAGES := ")
	if !found {
		t.Fatal("the Makefile has no SLOW_PACKAGES")
	}
	list, _, _ = strings.Cut(list, "\n")
	listed := strings.Fields(list)
	var want []string
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(file, "_test.go") || !strings.HasPrefix(readDoc(t, file), "//go:build slow") {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		want = append(want, "./"+filepath.ToSlash(dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(listed, want) {
		t.Errorf("SLOW_PACKAGES are %q, want %q", listed, want)
	}
}
