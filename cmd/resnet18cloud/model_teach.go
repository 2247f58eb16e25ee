//go:build !only_replica && !only_dispatcher

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	progressmeter "github.com/resnet18cloud/resnet18cloud/internal/progress"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/teach"
)

type modelTeachCmd struct {
	Dir    string `arg:"" help:"Folder with one folder of pictures for each class; the names of the folders are the labels." type:"existingdir"`
	Out    string `help:"safetensors file to write." short:"o" required:"" type:"path" placeholder:"FILE"`
	Report string `help:"HTML report to write. Default: beside the model, with the ending .html." type:"path" placeholder:"FILE"`
	Export string `help:"PyTorch checkpoint to write too: a state dict of torchvision's resnet18. Its head does not scale features, which costs 0 to 2 points of accuracy. The labels are written beside it: FILE.labels.json." type:"path" placeholder:"FILE.pth"`
	Name   string `help:"Name of the model in answers. Default: that of the file." placeholder:"NAME"`
	Seed   uint64 `help:"Seed of the folds of cross-validation. Equal seeds and pictures give equal files." default:"1"`
	Model  string `help:"Weight file of the ResNet-18 whose features are used. Default: the file that 'model pull' fetched, ImageNet's." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`

	Preprocess  string `help:"How pictures are prepared for the network, instead of what its files say: ${preprocess}. Default: as the files say, else torchvision." placeholder:"PARTS"`
	Concurrency int    `help:"Number of pictures to work on at a time, each on one CPU; 0 means the number of CPUs available." default:"0" env:"RESNET18_CONCURRENCY"`
}

// Help adds to kong's text what an option cannot say.
func (modelTeachCmd) Help() string {
	return `The network stays as it is; a new last layer is fitted on its features, which takes seconds. Give 20 pictures of each class or more.
The report shows what to expect of the model, and which pictures to look at.

  resnet18cloud model teach photos -o mine.safetensors
  resnet18cloud up --model mine.safetensors`
}

// Run teaches a model and prints what to expect of it, and the progress to stderr.
func (c modelTeachCmd) Run(ctx context.Context, env *environment) error {
	path, err := model.Find(c.Model)
	if err != nil {
		return fmt.Errorf("model teach: %w", err)
	}
	if c.Report == "" {
		c.Report = strings.TrimSuffix(c.Out, filepath.Ext(c.Out)) + ".html"
	}
	bar := newPictureBar(env.stderr)
	l, err := teach.Teach(ctx, teach.Config{Dir: c.Dir, Model: path, Options: model.Options{Preprocess: c.Preprocess}, Out: c.Out, Report: c.Report,
		Export: c.Export, Name: c.Name, Seed: c.Seed, Concurrency: c.Concurrency, Progress: bar.update})
	bar.end()
	if err != nil {
		return fmt.Errorf("model teach: %w", err)
	}
	for _, warning := range l.Warnings {
		env.log.Warn(warning)
	}
	return c.print(env.stdout, l)
}

// maxSkipped is how many unreadable pictures are listed.
const maxSkipped = 20

func (c modelTeachCmd) print(w io.Writer, l *teach.Lesson) error {
	for i, s := range l.Skipped {
		if i == maxSkipped {
			fmt.Fprintf(w, "skipped     %d more\n", len(l.Skipped)-i)
			break
		}
		fmt.Fprintf(w, "skipped     %s: %s\n", s.Path, s.Reason)
	}
	fmt.Fprintf(w, "pictures    %d in %d classes\n", len(l.Files), len(l.Classes))
	fmt.Fprintf(w, "method      %s, %s\n", l.Chosen.Method, l.Chosen.Preprocess.Mode)
	fmt.Fprintf(w, "accuracy    %.1f %% (%.0f to %.0f %%), of pictures not seen\n", 100*l.Accuracy, 100*l.Low, 100*l.High)
	if n := len(l.Suspects); n > 0 {
		fmt.Fprintf(w, "check       %d labels, such as %s\n", n, l.Suspects[0].File.Path)
	}
	if n := len(l.Duplicates); n > 0 && l.Duplicates[0].Equal {
		fmt.Fprintf(w, "duplicate   %s is %s\n", l.Duplicates[0].A.Path, l.Duplicates[0].B.Path)
	}
	fmt.Fprintf(w, "report      %s\n", c.Report)
	if c.Export != "" {
		fmt.Fprintf(w, "exported    %s: accuracy %.1f %%; prepare pictures with %s\n", c.Export, 100*l.ExportAccuracy(), l.Chosen.Preprocess)
		fmt.Fprintf(w, "labels      %s, of the exported file\n", teach.LabelsBeside(c.Export))
	}
	fmt.Fprintf(w, "wrote       %s\n", c.Out)
	_, err := fmt.Fprintf(w, "serve       resnet18cloud up --model %s\n", c.Out)
	return err
}

// pictureBar shows how many pictures are done: a bar on a terminal, otherwise a line for every quarter.
type pictureBar struct {
	w        io.Writer
	terminal bool
	shown    time.Time // when the bar was drawn last
	quarters int
	meter    progressmeter.Meter
	started  bool
}

func newPictureBar(w io.Writer) *pictureBar {
	f, ok := w.(*os.File)
	return &pictureBar{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

func (b *pictureBar) update(done, total int) {
	pace := b.meter.Text(time.Now(), int64(done), int64(total), "", 1)
	if !b.terminal {
		if quarters := 4 * done / total; quarters > b.quarters {
			b.quarters = quarters
			fmt.Fprintf(b.w, "%d of %d pictures%s\n", done, total, pace)
		}
		return
	}
	if time.Since(b.shown) < 50*time.Millisecond && done != total {
		return
	}
	b.shown, b.started = time.Now(), true
	full := barWidth * done / total
	fmt.Fprintf(b.w, "\r[%s%s] %d of %d pictures%s\x1b[K", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), done, total, pace)
}

// end finishes the line of the bar.
func (b *pictureBar) end() {
	if b.started {
		fmt.Fprintln(b.w)
	}
}
