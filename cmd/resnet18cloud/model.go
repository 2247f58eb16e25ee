//go:build !only_replica && !only_dispatcher

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	progressmeter "github.com/resnet18cloud/resnet18cloud/internal/progress"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type modelCmd struct {
	Pull     modelPullCmd     `cmd:"" help:"Fetch torchvision's weights, a model of Hugging Face's hub, a file by its URL, or the weights of a mirror, into the user's cache folder."`
	Convert  modelConvertCmd  `cmd:"" help:"Convert a model of any format to one safetensors file with labels and preprocessing, which loads fastest."`
	Quantize modelQuantizeCmd `cmd:"" help:"Quantize weights to 8 bits, calibrated on your images: a quarter of the size and, on CPUs with an 8-bit dot product, twice as fast."`
	Teach    modelTeachCmd    `cmd:"" help:"Make a model of your own classes from a folder of pictures, with a report of what to expect of it."`
	Verify   modelVerifyCmd   `cmd:"" help:"Check a weight file and print what it contains."`
}

type modelPullCmd struct {
	From   string `arg:"" optional:"" help:"torchvision, hf:OWNER/NAME[@REVISION], or the URL of a weight file. Default: the mirror's weights, else torchvision's."`
	Mirror string `help:"Folder or URL with a models.json, instead of torchvision's site." type:"url" placeholder:"DIR|URL" env:"MODEL_MIRROR"`
	Out    string `help:"File to write. Default: resnet18cloud/resnet18.safetensors in the user's cache folder; for a model of the hub or a URL, a file named like it in the folder resnet18cloud/models there." type:"path" placeholder:"FILE" env:"RESNET18_MODEL_PULL_OUT"`
	Again  bool   `help:"Fetch even if the file already holds these weights." env:"RESNET18_MODEL_PULL_AGAIN"`
	SHA256 string `name:"sha256" help:"SHA-256 that the file of a URL must have, in hex." placeholder:"HEX"`
	describeFlags

	HubEndpoint string `name:"hf-endpoint" help:"URL of Hugging Face's hub, or of a server like it." type:"url" placeholder:"URL" default:"${hub}" env:"HF_ENDPOINT"`
	HubToken    string `name:"hf-token" help:"Token for private models of the hub. Set the variable: others on this machine can see options." placeholder:"TOKEN" env:"HF_TOKEN,HUGGING_FACE_HUB_TOKEN"`

	IdleTimeout time.Duration `help:"Time in which the server must send something, at least 1 KiB/s on average, before the download is tried again." default:"30s" env:"RESNET18_MODEL_PULL_IDLE_TIMEOUT"`
	Tries       int           `help:"Number of tries in a row that may break off before the download fails; one that brings 1 MiB does not count." default:"5" env:"RESNET18_MODEL_PULL_TRIES"`
}

// Help adds to kong's text what an option cannot say.
func (modelPullCmd) Help() string {
	return `The result is one safetensors file with weights, labels and preprocessing. Interrupted downloads are resumed; the digest that the source
states is checked.

  resnet18cloud model pull
  resnet18cloud model pull hf:microsoft/resnet-18
  resnet18cloud model pull https://example.com/mine.pth --labels labels.txt`
}

// Run prints the path and source of the weights to stdout, and progress and retries to stderr.
func (c modelPullCmd) Run(ctx context.Context, env *environment) error {
	bar := newProgress(env.stderr)
	pulled, err := model.Pull(ctx, model.PullConfig{From: c.From, Mirror: c.Mirror, Hub: model.Hub{Endpoint: c.HubEndpoint, Token: c.HubToken},
		SHA256: c.SHA256, Out: c.Out, Again: c.Again, Options: c.options(), IdleTimeout: c.IdleTimeout, Tries: c.Tries,
		Progress: bar.update, Notify: bar.say})
	bar.end()
	if _, offline := errors.AsType[*net.OpError](err); offline {
		return fmt.Errorf("model pull: %w (without a network: a folder with a models.json as --mirror, or a weight file from elsewhere as --model of what serves it)", err)
	}
	if err != nil {
		return fmt.Errorf("model pull: %w", err)
	}
	verb := "pulled"
	if pulled.Already {
		verb = "already present"
	}
	s := pulled.Source
	fmt.Fprintf(env.stdout, "%s: %s\n", verb, pulled.Path)
	for _, line := range [][2]string{{"weights", s.Weights}, {"source", s.Origin}, {"revision", s.Revision}, {"licence", s.Licence}} {
		if line[1] != "" {
			fmt.Fprintf(env.stdout, "%-10s  %s\n", line[0], line[1])
		}
	}
	if c.From == "" || c.From == "torchvision" {
		return nil
	}
	r, err := model.Verify(pulled.Path, model.Options{})
	if err != nil {
		return fmt.Errorf("model pull: %s cannot be served: %w", pulled.Path, err)
	}
	return printServable(env.stdout, r, pulled.Path)
}

// printServable describes a model and says how to serve it.
func printServable(w io.Writer, r model.Report, path string) error {
	printModel(w, r)
	_, err := fmt.Fprintf(w, "serve       resnet18cloud up --model %s\n", path)
	return err
}

type modelConvertCmd struct {
	In  string `arg:"" help:"Weight file: PyTorch checkpoint, safetensors or ONNX, optionally gzipped; or a folder with one and its config.json." type:"path"`
	Out string `arg:"" help:"safetensors file to write." type:"path"`
	describeFlags
	Name   string `help:"Name of the model in answers, and in the Open Inference Protocol: up to 64 letters, digits, dots, underscores and hyphens. Default: the one that the file has. In a folder of models, requests use the name of the file." placeholder:"NAME"`
	Golden string `help:"Folder of pictures, in a subfolder for each class, that the file keeps, at most 32: it is not served unless it finds these classes. Pictures in the folder itself must keep the class that they have now." type:"existingdir" placeholder:"DIR"`
}

// Help adds to kong's text what an option cannot say.
func (modelConvertCmd) Help() string {
	return `The file has everything that serving needs: weights, labels, preprocessing and activation.

  resnet18cloud model convert best.pth mine.safetensors --labels labels.txt
  resnet18cloud up --model mine.safetensors`
}

// Run checks the model as serving does, writes the file, and prints what it has and where that is from.
func (c modelConvertCmd) Run(env *environment) error {
	progress := slowSteps{W: env.stderr}
	defer progress.end()
	progress.begin("checking "+c.In, fileSize(c.In))
	r, err := model.Verify(c.In, c.options())
	if err == nil {
		progress.begin("converting to "+c.Out, fileSize(c.In))
		err = model.ConvertWith(c.In, c.Out, model.Extra{Name: c.Name, Golden: c.Golden}, c.options())
	}
	if err != nil {
		return fmt.Errorf("model convert: %w", err)
	}
	progress.end()
	fmt.Fprintf(env.stdout, "wrote %s\n", c.Out)
	return printServable(env.stdout, r, c.Out)
}

type modelVerifyCmd struct {
	File string `arg:"" optional:"" help:"Weight file, or folder with one. Default: the file that replica would use." env:"RESNET18_MODEL" type:"path"`
	describeFlags
}

// Help adds to kong's text what an option cannot say.
func (modelVerifyCmd) Help() string {
	return `The checks are those that 'up' runs before it starts: format, numbers, network and golden pictures.

  resnet18cloud model verify
  resnet18cloud model verify best.pth --labels labels.txt`
}

// Run prints the report, and OK or the first problem. A problem is exit status 1.
func (c modelVerifyCmd) Run(env *environment) error {
	path, err := model.Find(c.File)
	if err != nil {
		return fmt.Errorf("model verify: %w", err)
	}
	r, problem := model.Verify(path, c.options())
	fmt.Fprintf(env.stdout, "file        %s\nbytes       %d\n", r.Path, r.Bytes)
	if r.Format != "" {
		fmt.Fprintf(env.stdout, "format      %s\nsha256      %s\nidentity    %s\ntensors     %d\nparameters  %d\n",
			r.Format, r.SHA256, r.Identity, r.Tensors, r.Parameters)
		printModel(env.stdout, r)
	}
	for _, key := range []string{weights.MetaWeights, weights.MetaPrecision, weights.MetaSource, weights.MetaLicence, weights.MetaRevision, weights.MetaOrigin} {
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

// printModel prints what a model is, and which source says so.
func printModel(w io.Writer, r model.Report) {
	line := func(name, value, source string) {
		if source != "" {
			value += " (" + source + ")"
		}
		fmt.Fprintf(w, "%-10s  %s\n", name, value)
	}
	line("network", "ResNet-18", "")
	line("head", r.Spec.Head.String(), r.Sources.Activation)
	if r.Spec.Head.Classes > 0 {
		line("classes", strconv.Itoa(r.Spec.Head.Classes), "")
		line("labels", someLabels(r.Spec), r.Sources.Labels)
	}
	line("preprocess", r.Spec.Preprocess.String(), cmp.Or(r.Sources.Preprocess, "assumed"))
	if r.Golden > 0 {
		line("golden", fmt.Sprintf("%d pictures have the expected classes", r.Golden), "")
	}
	for _, note := range r.Notes {
		line("note", note, "")
	}
}

// someLabels lists the first labels.
func someLabels(m spec.Model) string {
	const few = 5
	switch n := len(m.Labels); {
	case m.Labels == nil && m.Head.Classes == imagenet.Classes:
		return "ImageNet's"
	case m.Labels == nil:
		return "unknown; give them with --labels FILE"
	case n > few:
		return fmt.Sprintf("%s, ... %d in all", strings.Join(m.Labels[:few], ", "), n)
	}
	return strings.Join(m.Labels, ", ")
}

// progress shows a download on w: a progress bar on a terminal, otherwise a line for every ten percent.
type progress struct {
	w        io.Writer
	terminal bool
	shown    time.Time // when the bar was drawn last
	meter    progressmeter.Meter
	tenths   int64 // how many tenths lines were printed for
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
	pace := p.meter.Text(time.Now(), done, total, " MiB", mib)
	if !p.terminal {
		if total <= 0 {
			return
		}
		if tenths := 10 * done / total; tenths > p.tenths || !p.started {
			p.started, p.tenths = true, tenths
			fmt.Fprintf(p.w, "downloaded %.1f of %.1f MiB (%d %%)%s\n", float64(done)/mib, float64(total)/mib, 100*done/total, pace)
		}
		return
	}
	if time.Since(p.shown) < 50*time.Millisecond && done != total {
		return
	}
	p.shown, p.started = time.Now(), true
	if total <= 0 {
		fmt.Fprintf(p.w, "\r%.1f MiB%s\x1b[K", float64(done)/mib, pace)
		return
	}
	bar := make([]byte, barWidth)
	for i := range bar {
		bar[i] = ' '
		if int64(i)*total < done*barWidth {
			bar[i] = '='
		}
	}
	fmt.Fprintf(p.w, "\r[%s] %5.1f of %.1f MiB%s\x1b[K", bar, float64(done)/mib, float64(total)/mib, pace)
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
