//go:build !only_replica && !only_dispatcher

package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
)

type classifyCmd struct {
	engineFlags `embed:""`
	JSON        bool     `help:"Print one JSON line per file, with the fields of a result of POST /predict (docs/api.md), or error, code and hint."`
	CSV         bool     `name:"csv" help:"Print a table as CSV, with a line per file: file, problem, unknown, model, and label and score of each class. Texts that a spreadsheet would take for formulas begin with an apostrophe."`
	AllLogits   bool     `help:"With --json: also print the logits of all classes, as all_logits."`
	TopK        int      `name:"top-k" help:"Number of classes to print; of a model with fewer, all." default:"5" placeholder:"N"`
	Embed       bool     `help:"Print one JSON line per file with the 512 features of the image, as embedding, instead of classes."`
	Normalize   bool     `help:"With --embed: divide the features by their Euclidean length."`
	Files       []string `arg:"" help:"Image files: JPEG, PNG, GIF, BMP or WebP, or folders of them, with subfolders; - reads standard input." placeholder:"FILE"`
}

// Help adds to kong's text what an option cannot say.
func (classifyCmd) Help() string {
	return `If a file fails, its line has the error, the other files are still classified, and the exit status is 1.

  resnet18cloud classify picture.jpg
  resnet18cloud classify photos
  resnet18cloud classify --json *.jpg | jq -r '.predictions[0]'
  resnet18cloud classify --csv --top-k 1 photos >photos.csv
  resnet18cloud classify --embed --normalize *.jpg >features.jsonl`
}

// classification is one line of the JSON output: a result as servers answer with it, or why there is none, as in the answer
// to a batch.
type classification struct {
	Filename string `json:"filename"`
	*resnet18cloud.Result
	AllLogits []float32          `json:"all_logits,omitempty"`
	Error     string             `json:"error,omitempty"`
	Code      resnet18cloud.Code `json:"code,omitempty"`
	Hint      string             `json:"hint,omitempty"`
}

// Run classifies the files, as many at a time as there are workers, and prints the results in the order of the files.
func (c classifyCmd) Run(ctx context.Context, env *environment) error {
	if err := badUsage(c.check()); err != nil {
		return err
	}
	e, err := openEngine(ctx, c.engineFlags, nil, nil, env)
	if err != nil {
		return err
	}
	defer e.Close()

	print := printTable
	switch {
	case c.JSON || c.Embed:
		print = printJSON
	case c.CSV:
		print = printCSV(min(c.TopK, e.Spec().Head.Classes))
	}
	var skipped int
	if c.Files, skipped, err = expand(c.Files); err != nil {
		return err
	}
	if skipped > 0 {
		fmt.Fprintf(env.stderr, "skipped %d files in folders that are no pictures by their names\n", skipped)
	}
	results := make([]chan classification, len(c.Files))
	for i := range results {
		results[i] = make(chan classification, 1)
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	next := make(chan int)
	for range e.Info().Concurrency {
		workers.Go(func() {
			for i := range next {
				results[i] <- c.line(ctx, e, c.Files[i])
			}
		})
	}
	workers.Go(func() {
		defer close(next)
		for i := range c.Files {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	failed := false
	for _, result := range results {
		var line classification
		select {
		case line = <-result:
		case <-ctx.Done():
			return ctx.Err()
		}
		if line.Error != "" && ctx.Err() != nil {
			return ctx.Err()
		}
		failed = failed || line.Error != ""
		err = errors.Join(err, print(env.stdout, line))
	}
	if err == nil && failed {
		err = errReported
	}
	return err
}

// expand replaces each folder by the pictures in it and in its subfolders, and counts the other files there.
func expand(names []string) (files []string, skipped int, err error) {
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			files = append(files, name) // a missing file becomes the error of its line
			continue
		}
		root, err := filepath.EvalSymlinks(name)
		if err != nil {
			return nil, 0, fmt.Errorf("list pictures: %w", err)
		}
		before := len(files)
		err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil || entry.IsDir():
				return err
			case images.Is(path) && entry.Type()&^fs.ModeSymlink == 0: // opening a pipe could block forever
				files = append(files, path)
			default:
				skipped++
			}
			return nil
		})
		if err != nil {
			return nil, 0, fmt.Errorf("list pictures: %w", err)
		}
		if len(files) == before {
			return nil, 0, fmt.Errorf("no file in %s ends in %s", name, images.Extensions())
		}
	}
	return files, skipped, nil
}

// check returns an error for flags that contradict each other.
func (c classifyCmd) check() error {
	switch {
	case c.TopK < 1 || c.TopK > resnet18cloud.MaxTopK:
		return fmt.Errorf("--top-k is %d, want 1 to %d", c.TopK, resnet18cloud.MaxTopK)
	case c.Embed && c.AllLogits:
		return errors.New("--embed prints no classes; drop --all-logits")
	case c.CSV && (c.JSON || c.Embed):
		return errors.New("--csv prints a table of classes; drop --json and --embed")
	case c.AllLogits && !c.JSON:
		return errors.New("--all-logits needs --json")
	case c.Normalize && !c.Embed:
		return errors.New("--normalize is for features; add --embed")
	}
	return nil
}

// line returns the line of one file.
func (c classifyCmd) line(ctx context.Context, e *engine.Engine, file string) classification {
	data, err := readImage(file)
	if err != nil {
		return failedLine(file, &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: err.Error()})
	}
	image := resnet18cloud.Image{Name: file, Bytes: data,
		Want: resnet18cloud.Want{TopK: c.TopK, Embedding: c.Embed, Normalize: c.Normalize}}
	result, err := e.Classify(ctx, image)
	if err != nil {
		return failedLine(file, err)
	}
	line := classification{Filename: file, Result: &result}
	if c.AllLogits {
		line.AllLogits = make([]float32, e.Spec().Head.Classes)
		if _, err := e.Logits(ctx, image, line.AllLogits); err != nil {
			return failedLine(file, err)
		}
	}
	return line
}

// failedLine returns the line of a file that has no result.
func failedLine(file string, err error) classification {
	e := resnet18cloud.AsError(err)
	return classification{Filename: file, Error: e.Message, Code: e.Code, Hint: e.Hint}
}

func readImage(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

func printJSON(w io.Writer, line classification) error { return json.NewEncoder(w).Encode(line) }

// printCSV returns a printer of lines with so many classes. The first line has the names of the columns, which are those of the
// page's export.
func printCSV(classes int) func(io.Writer, classification) error {
	header := []string{"file", "problem", "unknown", "model"}
	for i := range classes {
		header = append(header, fmt.Sprint("label ", i+1), fmt.Sprint("score ", i+1))
	}
	return func(w io.Writer, line classification) error {
		out := csv.NewWriter(w)
		if header != nil {
			out.Write(header) //nolint:errcheck // Error returns it
		}
		row := make([]string, 4+2*classes)
		row[0], row[1] = cell(line.Filename), cell(line.Error)
		if line.Result != nil {
			if line.UnknownScore != nil {
				row[2] = strconv.FormatBool(line.Unknown)
			}
			row[3] = cell(line.Model)
			for i, s := range line.Scores[:min(classes, len(line.Scores))] {
				score := s.Logit
				if s.Probability != nil {
					score = *s.Probability
				}
				row[4+2*i], row[5+2*i] = cell(s.Label), strconv.FormatFloat(float64(score), 'g', -1, 32)
			}
		}
		header = nil
		out.Write(row) //nolint:errcheck // Error returns it
		out.Flush()
		return out.Error()
	}
}

// cell returns a text that is safe in a spreadsheet, as the page's export does: one that would be taken for a formula begins with
// an apostrophe. Names of files and labels may be a stranger's.
func cell(text string) string {
	if len(text) > 1 && strings.ContainsRune("=+-@\t\r", rune(text[0])) { // a single - is standard input
		return "'" + text
	}
	return text
}

// printTable writes a block of lines for each file, so that long names do not shift the columns.
func printTable(w io.Writer, line classification) error {
	if line.Error != "" {
		hint := ""
		if line.Hint != "" {
			hint = "  (" + line.Hint + ")"
		}
		_, err := fmt.Fprintf(w, "%s\n  error: %s%s\n", line.Filename, line.Error, hint)
		return err
	}
	t := line.Timing
	fmt.Fprintf(w, "%s  (decode %.1f ms, preprocess %.1f ms, inference %.1f ms)\n", line.Filename,
		t.Decode.Seconds()*1000, t.Preprocess.Seconds()*1000, t.Inference.Seconds()*1000)
	if line.Unknown {
		fmt.Fprintf(w, "  unknown: like no picture that the model was trained with (distance %.3f)\n", *line.UnknownScore)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range line.Scores {
		if s.Probability == nil {
			fmt.Fprintf(tw, "  %8.3f\t%s\n", s.Logit, s.Label)
			continue
		}
		fmt.Fprintf(tw, "  %5.1f %%\t%s\n", *s.Probability*100, s.Label)
	}
	return tw.Flush()
}
