//go:build unix

// Command decode times the way from a JPEG file's bytes to the network's input side by side with Pillow and
// torchvision: decoding, resizing and cropping, and both together, on one core. The two sides take turns in one run,
// each working through all images, so that a noisy neighbour hits both; CPU time is measured, and ratios are taken
// within a round. Both must make the same crops, bit for bit, or the run fails.
//
//	go run ./bench/decode            # 300 sample images, 10 rounds
//	go run ./bench/decode -formats   # files of every format made of them; decoding only
//
// It wants the Debian packages python3-pil and python3-torchvision.
package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
)

func main() {
	images := flag.String("images", "../shared/images/imagenet-sample", "folder with the JPEG files")
	count := flag.Int("count", 300, "number of files, spread over the folder")
	rounds := flag.Int("rounds", 10, "rounds; in each, both sides have a turn")
	python := flag.String("python", "/usr/bin/python3", "Python that has Pillow and torchvision")
	formats := flag.Bool("formats", false, "compare the decoders of all formats, with Pillow")
	kinds := flag.String("kinds", "", "with -formats, only the kinds of files whose names begin so, such as \"WebP\"")
	flag.Parse()
	compare := run
	if *formats {
		compare = func(folder string, count, rounds int, python string) error {
			return runFormats(folder, *kinds, count, rounds, python)
		}
	}
	if err := compare(*images, *count, *rounds, *python); err != nil {
		fmt.Fprintln(os.Stderr, "decode:", err)
		os.Exit(1)
	}
}

func run(folder string, count, rounds int, python string) error {
	runtime.GOMAXPROCS(1)
	names, err := spread(folder, count)
	if err != nil {
		return err
	}
	var ours pipeline
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		ours.files = append(ours.files, data)
	}
	theirs, err := start(python, names)
	if err != nil {
		return err
	}
	defer func() { _ = theirs.close() }() // all its answers were read
	if err := ours.check(names, theirs.Crops); err != nil {
		return err
	}
	var table []round
	for i := range rounds {
		var r round
		if r.theirs, err = theirs.turn(); err != nil {
			return err
		}
		if r.ours, err = ours.turn(); err != nil {
			return err
		}
		table = append(table, r)
		fmt.Fprintf(os.Stderr, "\rround %d of %d ", i+1, rounds)
	}
	fmt.Fprintln(os.Stderr)
	fmt.Printf("%d images, %d rounds, one core of %s/%s; theirs is %s. Mean CPU milliseconds an image.\n\n",
		len(names), rounds, runtime.GOOS, runtime.GOARCH, theirs.Name)
	report(os.Stdout, table, len(names))
	return nil
}

// spread picks count of the folder's JPEG files at even distances.
func spread(folder string, count int) ([]string, error) {
	var all []string
	for _, pattern := range []string{"*.JPEG", "*.jpg", "*.jpeg"} {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) == 0 || count < 1 {
		return nil, fmt.Errorf("no JPEG files in %s (make images)", folder)
	}
	count = min(count, len(all))
	names := make([]string, count)
	for i := range names {
		names[i] = all[i*len(all)/count]
	}
	return names, nil
}

// times are CPU seconds for all images.
type times struct {
	Decode     float64 `json:"decode"` // of the whole picture
	Window     float64 `json:"-"`      // of what the crop needs; only ours can
	Preprocess float64 `json:"preprocess"`
	Both       float64 `json:"both"`
}

// round is one turn of each side.
type round struct{ ours, theirs times }

// pipeline is our side: bytes to crops.
type pipeline struct {
	files   [][]byte
	decoder jpeg.Decoder
	resizer preprocess.Resizer
	input   preprocess.Input
}

// decode decodes what the crop needs of one file.
func (p *pipeline) decode(data []byte) (jpeg.RGB, error) {
	c, err := jpeg.DecodeConfig(data)
	if err != nil {
		return jpeg.RGB{}, err
	}
	return p.decoder.Decode(data, jpeg.Options{Window: preprocess.Window(p.resizer.Spec)(c.Width, c.Height)})
}

func (p *pipeline) crop(m jpeg.RGB) {
	p.resizer.Crop(&p.input, m.Pix, m.Stride, m.Width, m.Height)
}

// check compares our crops with theirs.
func (p *pipeline) check(names, want []string) error {
	for i, data := range p.files {
		m, err := p.decode(data)
		if err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		p.crop(m)
		if sum := sha256.Sum256(p.input); hex.EncodeToString(sum[:]) != want[i] {
			return fmt.Errorf("%s: our crop differs from theirs", names[i])
		}
	}
	return nil
}

func (p *pipeline) turn() (times, error) {
	var t times
	for _, data := range p.files {
		start := cpuTime()
		m, err := p.decoder.Decode(data, jpeg.Options{})
		if err != nil {
			return t, err
		}
		decoded := cpuTime()
		p.crop(m)
		t.Decode += (decoded - start).Seconds()
		t.Preprocess += (cpuTime() - decoded).Seconds()
	}
	start := cpuTime()
	for _, data := range p.files {
		if _, err := p.decode(data); err != nil {
			return t, err
		}
	}
	windowed := cpuTime()
	for _, data := range p.files {
		m, err := p.decode(data)
		if err != nil {
			return t, err
		}
		p.crop(m)
	}
	t.Window, t.Both = (windowed - start).Seconds(), (cpuTime() - windowed).Seconds()
	return t, nil
}

// cpuTime is what this process has used so far, in all its threads.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for a bad first argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// opponent is the process that runs pillow.py.
type opponent struct {
	*process

	Name  string   `json:"name"`
	Crops []string `json:"crops"`
}

func start(python string, names []string) (*opponent, error) {
	var o opponent
	var err error
	if o.process, err = startProcess(python, "bench/decode/pillow.py", names, &o); err != nil {
		return nil, err
	}
	if len(o.Crops) != len(names) {
		return nil, errors.Join(fmt.Errorf("pillow.py made %d crops of %d files", len(o.Crops), len(names)), o.close())
	}
	return &o, nil
}

func (o *opponent) turn() (t times, err error) { return t, o.ask(&t) }

// process is a Python program that prints a line of JSON at first and for each line of its input.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startProcess starts a program and reads its first line to v.
func startProcess(python, script string, args []string, v any) (*process, error) {
	p := &process{cmd: exec.Command(python, append([]string{script}, args...)...)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.read(v); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", script, err), p.close())
	}
	return p, nil
}

func (p *process) read(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// ask requests the next line.
func (p *process) ask(v any) error {
	if _, err := fmt.Fprintln(p.in); err != nil {
		return err
	}
	return p.read(v)
}

// close ends the process: its input ends, so it leaves.
func (p *process) close() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}

// report writes a table of medians over the rounds.
func report(w io.Writer, table []round, images int) {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| stage\t| ours\t| theirs\t| ours / theirs\t| quartiles\t|")
	fmt.Fprintln(tw, "| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, stage := range []struct {
		name         string
		ours, theirs func(times) float64
	}{
		{"decode, whole picture", func(t times) float64 { return t.Decode }, func(t times) float64 { return t.Decode }},
		{"decode, what the crop needs", func(t times) float64 { return t.Window }, func(t times) float64 { return t.Decode }},
		{"resize and crop", func(t times) float64 { return t.Preprocess }, func(t times) float64 { return t.Preprocess }},
		{"bytes to crop", func(t times) float64 { return t.Both }, func(t times) float64 { return t.Both }},
	} {
		var ours, theirs, ratios []float64
		for _, r := range table {
			a, b := stage.ours(r.ours), stage.theirs(r.theirs)
			ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
		}
		perImage := 1000 / float64(images)
		fmt.Fprintf(tw, "| %s\t| %.3f\t| %.3f\t| %.2f\t| %.2f to %.2f\t|\n", stage.name,
			quantile(ours, 0.5)*perImage, quantile(theirs, 0.5)*perImage,
			quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75))
	}
	_ = tw.Flush()
}

// quantile of values, the nearest one.
func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}
