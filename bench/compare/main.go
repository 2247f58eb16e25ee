// Command compare times ResNet-18 inference side by side with other runtimes on this machine: one image, the
// same pixels for everybody, contestants alternating in one run, so that a noisy neighbour hits all of them.
// Quote its ratios, not its milliseconds.
//
// A contestant is a process. It prints {"ready":"its name and version"} on a line, then for each line with a
// number n on its stdin it classifies n times and prints {"seconds":[...],"top1":class}. All must name the
// same class, or the run fails: a fast wrong answer does not count.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

type options struct {
	models     string
	crop       string
	rounds     int
	images     int
	threads    string
	precisions string
	picture    string
	json       bool
	worker     string
}

func main() {
	var o options
	flag.StringVar(&o.models, "models", "../shared/models", "folder with the weights in all formats")
	flag.StringVar(&o.crop, "crop", "", "PNG of 224x224 to classify (default: noise)")
	flag.IntVar(&o.rounds, "rounds", 30, "rounds; in each, every contestant has a turn")
	flag.IntVar(&o.images, "images", 10, "images in a turn")
	flag.StringVar(&o.threads, "threads", "1,2", "numbers of threads to compare, with commas between")
	flag.StringVar(&o.precisions, "precisions", "fp32,int8", "precisions to compare: fp32, int8")
	flag.StringVar(&o.picture, "picture", "", "write a picture of the medians to this PNG file")
	flag.BoolVar(&o.json, "json", false, "print every measurement as JSON instead of a table")
	flag.StringVar(&o.worker, "worker", "", "for this program's own use: be the contestant of this precision")
	flag.Parse()
	var err error
	if o.worker != "" {
		err = work(o.worker, flag.Args())
	} else {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// setting is what contestants are compared under: ratios make sense only within one.
type setting struct {
	Precision string `json:"precision"`
	Threads   int    `json:"threads"`
}

// measured is all that one contestant did under one setting.
type measured struct {
	setting
	Name   string      `json:"name"`
	Rounds [][]float64 `json:"rounds"` // seconds per image
	top1   int
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	crop := filepath.Join(dir, "crop.rgb")
	if err := writeCrop(crop, o.crop); err != nil {
		return err
	}
	var all []*measured
	for precision := range strings.SplitSeq(o.precisions, ",") {
		for field := range strings.SplitSeq(o.threads, ",") {
			threads, err := strconv.Atoi(field)
			if err != nil || threads < 1 {
				return fmt.Errorf("--threads %q: want numbers of at least 1", o.threads)
			}
			m, err := compare(o, setting{precision, threads}, crop)
			if err != nil {
				return fmt.Errorf("%s, %d threads: %w", precision, threads, err)
			}
			all = append(all, m...)
		}
	}
	if o.picture != "" {
		if err := draw(o.picture, all); err != nil {
			return fmt.Errorf("draw %s: %w", o.picture, err)
		}
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	printTable(os.Stdout, all)
	return nil
}

// commands lists who takes part under a setting; ours is first, and the others are compared with it.
func commands(o options, s setting, crop string) ([]*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	threads := strconv.Itoa(s.Threads)
	weights := filepath.Join(o.models, "resnet18-ktb.pth")
	onnx := map[string]string{"fp32": "resnet18-ktb.onnx.gz", "int8": "resnet18-ktb-int8-qdq.onnx"}[s.Precision]
	if onnx == "" {
		return nil, fmt.Errorf("unknown precision %q", s.Precision)
	}
	list := []*exec.Cmd{
		exec.Command(self, "-worker", s.Precision, weights, threads, crop),
		exec.Command("node", "bench/compare/onnxruntime.mjs", filepath.Join(o.models, onnx), threads, crop),
	}
	if s.Precision == "fp32" {
		// The distribution's interpreter: it is the one that has the python3-torch package.
		list = append(list, exec.Command("/usr/bin/python3", "bench/compare/pytorch.py", weights, threads, crop))
	}
	return list, nil
}

// compare lets the contestants of one setting alternate.
func compare(o options, s setting, crop string) ([]*measured, error) {
	list, err := commands(o, s, crop)
	if err != nil {
		return nil, err
	}
	var contestants []*contestant
	defer func() {
		for _, c := range contestants {
			_ = c.close() // all its answers were read
		}
	}()
	var all []*measured
	for _, cmd := range list {
		c, err := start(cmd)
		if err != nil {
			return nil, err
		}
		contestants = append(contestants, c)
		all = append(all, &measured{setting: s, Name: c.name})
	}
	for round := range o.rounds {
		for i := range contestants {
			// Each round starts with another contestant, so that nobody always follows the same one.
			i = (i + round) % len(contestants)
			seconds, top1, err := contestants[i].turn(o.images)
			if err != nil {
				return nil, err
			}
			all[i].Rounds = append(all[i].Rounds, seconds)
			all[i].top1 = top1
		}
		fmt.Fprintf(os.Stderr, "\r%s, %d threads: round %d of %d ", s.Precision, s.Threads, round+1, o.rounds)
	}
	fmt.Fprintln(os.Stderr)
	for _, m := range all[1:] {
		if m.top1 != all[0].top1 {
			return nil, fmt.Errorf("%s says class %d, %s says %d", all[0].Name, all[0].top1, m.Name, m.top1)
		}
	}
	return all, nil
}

// contestant is a process that speaks the protocol.
type contestant struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

func start(cmd *exec.Cmd) (*contestant, error) {
	c := &contestant{cmd: cmd}
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 1<<20)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var hello struct {
		Ready string `json:"ready"`
	}
	if err := c.read(&hello); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err), c.close())
	}
	c.name = hello.Ready
	return c, nil
}

func (c *contestant) turn(images int) (seconds []float64, top1 int, err error) {
	if _, err := fmt.Fprintln(c.in, images); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", c.name, err)
	}
	var answer struct {
		Seconds []float64 `json:"seconds"`
		Top1    int       `json:"top1"`
	}
	if err := c.read(&answer); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", c.name, err)
	}
	if len(answer.Seconds) != images {
		return nil, 0, fmt.Errorf("%s: asked for %d images, got %d", c.name, images, len(answer.Seconds))
	}
	return answer.Seconds, answer.Top1, nil
}

func (c *contestant) read(v any) error {
	if !c.out.Scan() {
		return errors.Join(c.out.Err(), io.ErrUnexpectedEOF)
	}
	return json.Unmarshal(c.out.Bytes(), v)
}

// close ends the process: its input ends, so it leaves.
func (c *contestant) close() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}

// writeCrop writes 224x224x3 bytes: of the PNG file, or noise when there is none.
func writeCrop(to, from string) error {
	pixels := make([]byte, 0, 224*224*3)
	if from == "" {
		r := rand.New(rand.NewPCG(1, 2))
		for range cap(pixels) {
			pixels = append(pixels, byte(r.Uint32()))
		}
		return os.WriteFile(to, pixels, 0o600)
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	b := img.Bounds()
	if b.Dx() != 224 || b.Dy() != 224 {
		return fmt.Errorf("%s is %dx%d, want 224x224", from, b.Dx(), b.Dy())
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			pixels = append(pixels, byte(r>>8), byte(g>>8), byte(bl>>8))
		}
	}
	return os.WriteFile(to, pixels, 0o600)
}

// quantile of a sorted list, by linear interpolation.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// median of one round, the unit that ratios are made of.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return quantile(sorted, 0.5)
}
