//go:build !only_replica && !only_dispatcher

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/resnet18cloud/resnet18cloud/load/report"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

// loadtestOutputs are the forms in which results are written.
type loadtestOutputs struct {
	JSON      string   `help:"File to write the result to: counts, percentiles, timeline, and histograms that 'loadtest merge' can merge." type:"path" placeholder:"FILE" env:"RESNET18_LOADTEST_JSON"`
	HTML      string   `name:"html" help:"File to write the report to, as a self-contained HTML page." type:"path" placeholder:"FILE" env:"RESNET18_LOADTEST_HTML"`
	CSV       string   `name:"csv" help:"File to write the timeline to as CSV: a line for each second, latencies in milliseconds." type:"path" placeholder:"FILE" env:"RESNET18_LOADTEST_CSV"`
	PNG       string   `name:"png" help:"Folder to write the report's charts to, as PNG." type:"path" placeholder:"DIR" env:"RESNET18_LOADTEST_PNG"`
	Threshold []string `help:"Condition that the result must meet; repeatable, or several separated by semicolons. The exit status is then 1 only if one is not met. ${conditions}." sep:";" placeholder:"CONDITION" env:"RESNET18_LOADTEST_THRESHOLD"`
}

// check fails before anything is measured if a file cannot be written because its folder is missing.
func (o loadtestOutputs) check() error {
	for option, path := range map[string]string{"--json": o.JSON, "--html": o.HTML, "--csv": o.CSV} {
		if err := checkWritable(option, path); err != nil {
			return err
		}
	}
	if o.PNG == "" {
		return nil
	}
	if err := os.MkdirAll(o.PNG, 0o755); err != nil {
		return fmt.Errorf("--png: %w", err)
	}
	return nil
}

// checkWritable fails if the folder of a file to write is missing. An empty path means none.
func checkWritable(option, path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("%s: no folder %s", option, filepath.Dir(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: %s is a folder", option, path)
	}
	return nil
}

// parseConditions reads conditions, before anything is measured.
func parseConditions(texts []string) ([]slo.Condition, error) {
	var conditions []slo.Condition
	for _, text := range texts {
		c, err := slo.Parse(text)
		if err != nil {
			return nil, seeHelp("loadtest", err)
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

// write prints the summary and writes the requested files, as many as possible. It returns errReported if a
// threshold is not met; without thresholds, if a request failed.
func (o loadtestOutputs) write(stdout io.Writer, s *result.Summary, thresholds []slo.Condition) error {
	err := report.Text(stdout, s)
	if o.JSON != "" {
		err = errors.Join(err, s.WriteFile(o.JSON))
	}
	good := len(thresholds) > 0 || s.OK == s.Sent
	var verdicts []slo.Verdict
	for _, c := range thresholds {
		v := c.Check(s)
		verdicts = append(verdicts, v)
		fmt.Fprintln(stdout, v)
		good = good && v.Holds
	}
	err = errors.Join(err, o.draw(report.Report{Summary: s, Verdicts: verdicts}))
	if err == nil && !good {
		return errReported
	}
	return err
}

// draw writes the requested page, charts and timeline.
func (o loadtestOutputs) draw(r report.Report) error {
	var err error
	if o.HTML != "" {
		err = r.HTMLFile(o.HTML)
	}
	if o.CSV != "" {
		err = errors.Join(err, r.Summary.WriteCSVFile(o.CSV))
	}
	if o.PNG != "" {
		_, failed := r.WritePNGs(o.PNG)
		err = errors.Join(err, failed)
	}
	return err
}

// recordsFile is the stream of records; the zero value writes nothing.
type recordsFile struct {
	*result.RecordWriter
	file   *os.File
	buffer *bufio.Writer
}

func createRecords(path string) (*recordsFile, error) {
	if path == "" {
		return &recordsFile{RecordWriter: result.NewRecordWriter(io.Discard)}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write records: %w", err)
	}
	b := bufio.NewWriterSize(f, 64<<10)
	return &recordsFile{result.NewRecordWriter(b), f, b}, nil
}

// Close completes the file. The second call does nothing.
func (r *recordsFile) Close() error {
	if r.file == nil {
		return nil
	}
	err := errors.Join(r.Err(), r.buffer.Flush(), r.file.Close())
	r.file = nil
	return err
}

type loadtestMergeCmd struct {
	Files []string `arg:"" help:"Files of --json or --records, or one file of a search." type:"existingfile"`

	loadtestOutputs
}

// Help adds to kong's text what an option cannot say.
func (loadtestMergeCmd) Help() string {
	return `Distributions are merged without loss. Timelines are aligned by the clocks of the machines.

  resnet18cloud loadtest merge machine1.json machine2.json --json all.json
  resnet18cloud loadtest merge records.jsonl --html report.html`
}

// Run merges and reports.
func (c *loadtestMergeCmd) Run(env *environment) error {
	thresholds, err := parseConditions(c.Threshold)
	if err := errors.Join(err, c.check()); err != nil {
		return badUsage(err)
	}
	if len(c.Files) == 1 {
		if found, err := search.ReadFile(c.Files[0]); err == nil && found.Best() != nil {
			return errors.Join(report.Search(env.stdout, found), c.draw(report.Report{Summary: found.Best(), Search: found}))
		}
	}
	var all *result.Summary
	for _, file := range c.Files {
		s, err := result.ReadFile(file)
		if err != nil {
			return err
		}
		if all == nil {
			all = s
			continue
		}
		if err := all.Merge(s); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return c.write(env.stdout, all, thresholds)
}
