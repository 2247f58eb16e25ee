package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// ignored are the equivalent mutants, with the reasons.
type ignored map[key]string

// The ignore file has one mutant per line, with four fields separated by tabs: file, the line's code, change, reason.
// Empty lines and lines that start with # are ignored. It contains code rather than line numbers, so that it stays
// valid when lines move.
func readIgnored(path string) (ignored, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("-ignore: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := parseIgnored(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

func parseIgnored(r io.Reader) (ignored, error) {
	list := ignored{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 4 || strings.TrimSpace(fields[3]) == "" {
			return nil, fmt.Errorf("line %d: want file, code, change and reason, separated by tabs", n)
		}
		k := key{fields[0], fields[1], fields[2]}
		if list[k] != "" {
			return nil, fmt.Errorf("line %d: this mutant has been named before", n)
		}
		list[k] = fields[3]
	}
	return list, lines.Err()
}

// unknown returns the entries for files in the run whose mutant no longer exists.
func (list ignored) unknown(mutants []*mutant) []key {
	files, keys := map[string]bool{}, map[key]bool{}
	for _, m := range mutants {
		files[m.file.rel], keys[m.key()] = true, true
	}
	var stale []key
	for k := range maps.Keys(list) {
		if files[k.file] && !keys[k] {
			stale = append(stale, k)
		}
	}
	slices.SortFunc(stale, func(a, b key) int {
		return strings.Compare(a.file+a.source+a.change, b.file+b.source+b.change)
	})
	return stale
}

// writeSurvivors writes mutants in the format of the ignore file, without reasons. It does nothing if path is empty.
func writeSurvivors(path string, survivors []*mutant) error {
	if path == "" {
		return nil
	}
	var b strings.Builder
	for _, m := range survivors {
		fmt.Fprintf(&b, "%s\t%s\t%s\t\n", m.file.rel, m.source, m.change)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
