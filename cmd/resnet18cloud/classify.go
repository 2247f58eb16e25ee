package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
)

type classifyCmd struct {
	engineFlags `embed:""`
	JSON        bool     `help:"Print one JSON line per file: file, the best classes' indices, labels, logits and probabilities, seconds per stage."`
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
  resnet18cloud classify --json *.jpg | jq -r '.labels[0]'
  resnet18cloud classify --embed --normalize *.jpg >features.jsonl`
}

// classification is one line of the JSON output. Indices, labels, logits and probabilities go together, best first.
type classification struct {
	File          string    `json:"file"`
	Indices       []int     `json:"indices,omitempty"`
	Labels        []string  `json:"labels,omitempty"`
	Logits        []float32 `json:"logits,omitempty"`
	Probabilities []float32 `json:"probabilities,omitempty"`
	AllLogits     []float32 `json:"all_logits,omitempty"`
	Embedding     []float32 `json:"embedding,omitempty"`
	Decode        float64   `json:"decode_seconds,omitempty"`
	Preprocess    float64   `json:"preprocess_seconds,omitempty"`
	Inference     float64   `json:"inference_seconds,omitempty"`
	Unknown       bool      `json:"unknown,omitempty"`
	UnknownScore  *float32  `json:"unknown_score,omitempty"`
	Model         string    `json:"model,omitempty"`
	Warning       string    `json:"warning,omitempty"`
	Error         string    `json:"error,omitempty"`
	Hint          string    `json:"hint,omitempty"`
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
	if c.JSON || c.Embed {
		print = printJSON
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
	case c.Normalize && !c.Embed:
		return errors.New("--normalize is for features; add --embed")
	}
	return nil
}

// line returns the line of one file.
func (c classifyCmd) line(ctx context.Context, e *engine.Engine, file string) classification {
	line := classification{File: file}
	data, err := readImage(file)
	if err != nil {
		line.Error = err.Error()
		return line
	}
	image := resnet18cloud.Image{Name: file, Bytes: data,
		Want: resnet18cloud.Want{TopK: c.TopK, Embedding: c.Embed, Normalize: c.Normalize}}
	result, err := e.Classify(ctx, image)
	if err == nil && c.AllLogits {
		line.AllLogits = make([]float32, e.Spec().Head.Classes)
		_, err = e.Logits(ctx, image, line.AllLogits)
	}
	if err != nil {
		line.AllLogits = nil
		failure := resnet18cloud.AsError(err)
		return classification{File: file, Error: failure.Message, Hint: failure.Hint}
	}
	for _, s := range result.Scores {
		line.Indices = append(line.Indices, s.Index)
		line.Labels = append(line.Labels, s.Label)
		line.Logits = append(line.Logits, s.Logit)
		if s.Probability != nil {
			line.Probabilities = append(line.Probabilities, *s.Probability)
		}
	}
	t := result.Timing
	line.Decode, line.Preprocess, line.Inference = t.Decode.Seconds(), t.Preprocess.Seconds(), t.Inference.Seconds()
	line.Embedding, line.Model, line.Warning = result.Embedding, result.Model, result.Warning
	line.Unknown, line.UnknownScore = result.Unknown, result.UnknownScore
	return line
}

func readImage(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

func printJSON(w io.Writer, line classification) error { return json.NewEncoder(w).Encode(line) }

// printTable writes a block of lines for each file, so that long names do not shift the columns.
func printTable(w io.Writer, line classification) error {
	if line.Error != "" {
		hint := ""
		if line.Hint != "" {
			hint = "  (" + line.Hint + ")"
		}
		_, err := fmt.Fprintf(w, "%s\n  error: %s%s\n", line.File, line.Error, hint)
		return err
	}
	fmt.Fprintf(w, "%s  (decode %.1f ms, preprocess %.1f ms, inference %.1f ms)\n", line.File,
		line.Decode*1000, line.Preprocess*1000, line.Inference*1000)
	if line.Unknown {
		fmt.Fprintf(w, "  unknown: like no picture that the model was trained with (distance %.3f)\n", *line.UnknownScore)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, label := range line.Labels {
		if line.Probabilities == nil {
			fmt.Fprintf(tw, "  %8.3f\t%s\n", line.Logits[i], label)
			continue
		}
		fmt.Fprintf(tw, "  %5.1f %%\t%s\n", line.Probabilities[i]*100, label)
	}
	return tw.Flush()
}
