package report

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sections are the generated parts by name.
func (s *Study) sections() map[string]string {
	names := append(slices.Clone(compared), "oracle")
	return map[string]string{
		"policies": policiesTable(),
		"about":    s.about(),
		"goals":    goalsTable(s.Main),
		"main":     Table(s.Main),
		"traces":   perTrace(s.Main, names...),
		"losses":   losses(s.Main),
		"step":     stepTable(s.Main),
		"goals-h":  goalsTable(s.HoldOut),
		"holdout":  Table(s.HoldOut),
		"traces-h": perTrace(s.HoldOut, names...),
		"losses-h": losses(s.HoldOut),
		"delays":   s.delaysTable(),
		"zero":     s.zeroTable(),
		"ablation": Table(s.Ablation),
		"sweep":    s.sweepTable(),
	}
}

// WriteInto replaces the generated parts of a Markdown file, and draws its charts into img beside it.
func (s *Study) WriteInto(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	text, err := Replace(string(old), "simulate", s.sections())
	if err != nil {
		return fmt.Errorf("write report into %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	img := filepath.Join(filepath.Dir(path), "img")
	if err := os.MkdirAll(img, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := s.paretoChart().WritePNG(filepath.Join(img, "autoscaling-pareto.png")); err != nil {
		return err
	}
	for _, trace := range []string{"step", "mmpp", "twitter-1"} {
		if err := timelineChart(s.Main, trace).WritePNG(filepath.Join(img, "autoscaling-"+trace+".png")); err != nil {
			return err
		}
	}
	return nil
}

// Replace puts sections between their markers, <!-- PREFIX:NAME --> and <!-- end -->. Sections without
// markers are left out; a marker without a section or an end is an error.
func Replace(text, prefix string, sections map[string]string) (string, error) {
	const end = "<!-- end -->"
	begin := "<!-- " + prefix + ":"
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, begin)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(rest, " -->")
		section, known := sections[name]
		if !closed || !known {
			return "", fmt.Errorf("no section %q", name)
		}
		_, after, ended := strings.Cut(rest, end)
		if !ended {
			return "", fmt.Errorf("section %q has no %s", name, end)
		}
		fmt.Fprintf(&b, "%s%s -->\n%s%s", begin, name, section, end)
		text = after
	}
}
