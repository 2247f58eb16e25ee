//go:build !only_replica && !only_dispatcher

package main

import (
	"errors"
	"path/filepath"

	"github.com/resnet18cloud/resnet18cloud/load/report"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/search"
)

type loadtestCompareCmd struct {
	A    string `arg:"" help:"File of --json or --records of the run to compare with, or of a search: the trial at its rate." type:"existingfile"`
	B    string `arg:"" help:"File of the other run." type:"existingfile"`
	HTML string `name:"html" help:"File to write the comparison to, as a self-contained HTML page with both runs in its charts." type:"path" placeholder:"FILE" env:"RESNET18_LOADTEST_HTML"`
}

// Help adds to kong's text what an option cannot say.
func (loadtestCompareCmd) Help() string {
	return `Prints the ratio of each figure, with bounds that are drawn from how each run varies within itself, and whether B is faster,
slower, or within the noise. Settings that differ are listed.

  resnet18cloud loadtest compare before.json after.json
  resnet18cloud loadtest compare fp32.json int8.json --html comparison.html`
}

// Run compares and reports.
func (c *loadtestCompareCmd) Run(env *environment) error {
	if err := badUsage(checkWritable("--html", c.HTML)); err != nil {
		return err
	}
	a, err := readResult(c.A)
	if err != nil {
		return err
	}
	b, err := readResult(c.B)
	if err != nil {
		return err
	}
	nameA, nameB := filepath.Base(c.A), filepath.Base(c.B)
	if nameA == nameB {
		nameA, nameB = c.A, c.B
	}
	comparison := report.Compare(nameA, a, nameB, b)
	err = comparison.Text(env.stdout)
	if c.HTML != "" {
		err = errors.Join(err, comparison.HTMLFile(c.HTML))
	}
	return err
}

// readResult reads the result of a run, or that of the best trial of a search.
func readResult(path string) (*result.Summary, error) {
	if found, err := search.ReadFile(path); err == nil && found.Best() != nil {
		return found.Best(), nil
	}
	return result.ReadFile(path)
}
