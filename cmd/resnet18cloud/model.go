package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type modelCmd struct {
	Pull     modelPullCmd     `cmd:"" help:"Fetch torchvision's weights, or those of a mirror, into the user's cache folder."`
	Convert  modelConvertCmd  `cmd:"" help:"Convert weights of any format to safetensors, which loads fastest."`
	Quantize modelQuantizeCmd `cmd:"" help:"Quantize weights to 8 bits, calibrated on your images: a quarter of the size and, on CPUs with an 8-bit dot product, twice as fast."`
	Verify   modelVerifyCmd   `cmd:"" help:"Check a weight file and print what it contains."`
}

type modelPullCmd struct {
	Mirror string `help:"Folder or URL with a models.json, instead of torchvision's site." placeholder:"DIR|URL" env:"MODEL_MIRROR"`
	Out    string `help:"File to write. Default: resnet18cloud/resnet18.safetensors in the user's cache folder." type:"path" placeholder:"FILE" env:"RESNET18_MODEL_PULL_OUT"`
	Again  bool   `help:"Fetch even if the file already holds these weights." env:"RESNET18_MODEL_PULL_AGAIN"`

	IdleTimeout time.Duration `help:"Time in which the server must send something, at least 1 KiB/s on average, before the download is tried again." default:"30s" env:"RESNET18_MODEL_PULL_IDLE_TIMEOUT"`
	Tries       int           `help:"Number of tries in a row that may break off before the download fails; one that brings 1 MiB does not count." default:"5" env:"RESNET18_MODEL_PULL_TRIES"`
}

// Run prints the path and source of the weights to stdout, and progress and retries to stderr.
func (c modelPullCmd) Run(ctx context.Context, env *environment) error {
	bar := newProgress(env.stderr)
	pulled, err := model.Pull(ctx, model.PullConfig{Mirror: c.Mirror, Out: c.Out, Again: c.Again, IdleTimeout: c.IdleTimeout, Tries: c.Tries,
		Progress: bar.update, Notify: bar.say})
	bar.end()
	if err != nil {
		return fmt.Errorf("model pull: %w", err)
	}
	verb := "pulled"
	if pulled.Already {
		verb = "already present"
	}
	s := pulled.Source
	_, err = fmt.Fprintf(env.stdout, "%s: %s\nweights  %s\nsource   %s\nlicence  %s\n", verb, pulled.Path, s.Weights, s.Origin, s.Licence)
	return err
}

type modelConvertCmd struct {
	In  string `arg:"" help:"Weight file: PyTorch checkpoint, safetensors or ONNX, optionally gzipped." type:"existingfile"`
	Out string `arg:"" help:"safetensors file to write." type:"path"`
}

func (c modelConvertCmd) Run(env *environment) error {
	if err := model.Convert(c.In, c.Out); err != nil {
		return fmt.Errorf("model convert: %w", err)
	}
	_, err := fmt.Fprintf(env.stdout, "wrote %s\n", c.Out)
	return err
}

type modelVerifyCmd struct {
	File string `arg:"" optional:"" help:"Weight file. Default: the file that replica would use." env:"RESNET18_MODEL" type:"path"`
}

// Run prints the report, and OK or the first problem. A problem is exit status 1.
func (c modelVerifyCmd) Run(env *environment) error {
	path, err := model.Find(c.File)
	if err != nil {
		return fmt.Errorf("model verify: %w", err)
	}
	r, problem := model.Verify(path)
	fmt.Fprintf(env.stdout, "file        %s\nbytes       %d\n", r.Path, r.Bytes)
	if r.Format != "" {
		fmt.Fprintf(env.stdout, "format      %s\nsha256      %s\nidentity    %s\ntensors     %d\nparameters  %d\n",
			r.Format, r.SHA256, r.Identity, r.Tensors, r.Parameters)
	}
	for _, key := range []string{weights.MetaWeights, weights.MetaPrecision, weights.MetaSource, weights.MetaLicence, weights.MetaOrigin} {
		if value := r.Metadata[key]; value != "" {
			fmt.Fprintf(env.stdout, "%-10s  %s\n", key, value)
		}
	}
	if problem != nil {
		fmt.Fprintf(env.stdout, "BROKEN      %v\n", problem)
		return errReported
	}
	_, err = fmt.Fprintln(env.stdout, "OK")
	return err
}

// progress shows a download on w: a progress bar on a terminal, otherwise a line for every ten percent.
type progress struct {
	w        io.Writer
	terminal bool
	shown    time.Time // when the bar was drawn last
	tenths   int64     // how many tenths lines were printed for
	started  bool
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// barWidth is the bar's length in characters.
const barWidth = 40

// update is called with the bytes received and their total, -1 if it is not known.
func (p *progress) update(done, total int64) {
	const mib = 1 << 20
	if !p.terminal {
		if total <= 0 {
			return
		}
		if tenths := 10 * done / total; tenths > p.tenths || !p.started {
			p.started, p.tenths = true, tenths
			fmt.Fprintf(p.w, "downloaded %.1f of %.1f MiB (%d %%)\n", float64(done)/mib, float64(total)/mib, 100*done/total)
		}
		return
	}
	if time.Since(p.shown) < 50*time.Millisecond && done != total {
		return
	}
	p.shown, p.started = time.Now(), true
	if total <= 0 {
		fmt.Fprintf(p.w, "\r%.1f MiB", float64(done)/mib)
		return
	}
	bar := make([]byte, barWidth)
	for i := range bar {
		bar[i] = ' '
		if int64(i)*total < done*barWidth {
			bar[i] = '='
		}
	}
	fmt.Fprintf(p.w, "\r[%s] %5.1f of %.1f MiB", bar, float64(done)/mib, float64(total)/mib)
}

// say prints a line below the bar, which is then drawn again.
func (p *progress) say(message string) {
	p.end()
	p.started = false
	fmt.Fprintln(p.w, message)
}

// end finishes the line of the bar.
func (p *progress) end() {
	if p.terminal && p.started {
		fmt.Fprintln(p.w)
	}
}
