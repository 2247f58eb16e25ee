package report

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/load/compare"
	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// TestComparison checks text and page of every pair of runs, among them empty and failed ones.
func TestComparison(t *testing.T) {
	t.Parallel()
	for nameA, a := range results() {
		for nameB, b := range results() {
			if nameA != "whole" && nameB != "whole" && nameA != nameB {
				continue
			}
			t.Run(nameA+" and "+nameB, func(t *testing.T) {
				t.Parallel()
				var text, page strings.Builder
				c := Compare("a.json", a, "<b>.json", b)
				if err := errors.Join(c.Text(&text), c.HTML(&page)); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(text.String(), "NaN") || strings.Contains(page.String(), "NaN") || strings.Contains(page.String(), "<b>.json") {
					t.Errorf("text:\n%s\npage:\n%s", text.String(), page.String())
				}
				if found := external.FindString(page.String()); found != "" {
					t.Errorf("page refers to something outside: %q", found)
				}
				for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page.String(), -1) {
					for d := xml.NewDecoder(strings.NewReader(svg)); ; {
						if _, err := d.Token(); errors.Is(err, io.EOF) {
							break
						} else if err != nil {
							t.Fatalf("picture: %v", err)
						}
					}
				}
			})
		}
	}
}

// TestComparisonText checks the lines of a comparison of computed answers with a cache's.
func TestComparisonText(t *testing.T) {
	t.Parallel()
	a, b := results()["whole"], results()["half cached"]
	b.Settings = []result.Setting{{Name: "unique", Value: "no"}}
	var text strings.Builder
	if err := Compare("a.json", a, "b.json", b).Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`A  a\.json: 2026-01-02 03:04:05 UTC, http://server \(async\), schedule constant:200:10s, open loop, 2000 images`,
		`   unique: A none, B no`,
		`   schedule: A constant:200:10s, B none`,
		`                 A +B +B/A +bounds  B is`,
		`from the cache % +0 +50\.0$`,
		`p50 ms +20\.0 +2\.00 +0\.100 +0\.100\.\.0\.100  faster`,
		`computed p50 ms +20\.0 +20\.0 +1\.000 +1\.000\.\.1\.000  within the noise`,
		`p99\.9 ms +20\.0 +20\.0 +1\.000 +too few requests to judge`,
		`repeat both runs in turn`,
	} {
		if !regexp.MustCompile(`(?m)` + line).MatchString(text.String()) {
			t.Errorf("text lacks %q:\n%s", line, text.String())
		}
	}
}

// TestComparisonClasses checks what the page shows as good and as bad.
func TestComparisonClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		word compare.Word
		want string
	}{
		{"p50", compare.Faster, "good"}, {"p50", compare.Slower, "bad"}, {"answers", compare.More, "good"}, {"answers", compare.Fewer, "bad"},
		{"failed", compare.More, "bad"}, {"failed", compare.Fewer, "good"}, {"p50", compare.Noise, "soft"}, {"p50", compare.Unjudged, "soft"},
	} {
		if got := class(c.name, c.word); got != c.want {
			t.Errorf("%s %q is %s, want %s", c.name, c.word, got, c.want)
		}
	}
}
