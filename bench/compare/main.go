// Command compare times ResNet-18 inference side by side with other runtimes on this machine: one image, the
// same pixels for everybody, contestants alternating in one run, so that a noisy neighbour hits all of them.
// Quote its ratios, not its milliseconds.
//
// Beside the time stands the share of other images for which a contestant has the best label of torchvision's
// fp32 network: a fast wrong answer is shown as such. In fp32 all must agree, or the run fails.
//
//	make compare                      # with what is installed; it says what is missing
//	make compare NCNN=$HOME/ncnn      # with ncnn, which is installed there
//	go run ./bench/compare -precisions int8 -json >int8.json
//	go run ./bench/compare -picture all.png fp32.json int8.json
//
// The last line makes table and picture of what earlier runs have saved.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

type options struct {
	models     string
	pictures   string
	reference  string
	ncnn       string
	keep       string
	rounds     int
	turn       int
	labels     int
	calibrate  int
	threads    string
	precisions string
	picture    string
	json       bool
	worker     string
}

func main() {
	var o options
	flag.StringVar(&o.models, "models", "../shared/models", "folder with the weights in all formats")
	flag.StringVar(&o.pictures, "images", "../shared/images/imagenet-sample", "folder with the images that the reference names")
	flag.StringVar(&o.reference, "reference", "../shared/reference/torchvision.jsonl", "torchvision's labels of the images")
	flag.StringVar(&o.ncnn, "ncnn", "", "folder where ncnn and its tools are installed (default: without ncnn)")
	flag.StringVar(&o.keep, "keep", "", "folder for the quantized models; those that it has are used (default: a temporary one)")
	flag.IntVar(&o.rounds, "rounds", 30, "rounds; in each, every contestant has a turn")
	flag.IntVar(&o.turn, "turn", 10, "passes in a turn")
	flag.IntVar(&o.labels, "labels", 500, "images whose labels are compared; 0 means none")
	flag.IntVar(&o.calibrate, "calibrate", 100, "other images, with which int8 is calibrated")
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
		err = run(o, flag.Args())
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
	Rounds [][]float64 `json:"rounds"` // seconds per pass
	// Labels and Equal are the images that it has labelled, and those of them with torchvision's label. Labels do not depend on
	// the number of threads, so only the last setting of a precision has them.
	Labels int `json:"labels,omitempty"`
	Equal  int `json:"equal,omitempty"`
}

// run measures, or reads what earlier runs have saved in files.
func run(o options, files []string) error {
	var all []*measured
	var err error
	if len(files) > 0 {
		all, err = read(files)
	} else {
		all, err = o.measure()
	}
	if err != nil {
		return err
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

func read(files []string) (all []*measured, err error) {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var some []*measured
		if err := json.Unmarshal(data, &some); err != nil {
			return nil, fmt.Errorf("%s is not what -json prints: %w", file, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// measure has the contestants of each setting alternate.
func (o options) measure() (all []*measured, err error) {
	var threads []int
	for field := range strings.SplitSeq(o.threads, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-threads %q: want numbers of at least 1", o.threads)
		}
		threads = append(threads, n)
	}
	if o.rounds < 1 || o.turn < 1 || o.labels < 0 || o.calibrate < 1 {
		return nil, errors.New("-rounds, -turn and -calibrate must be at least 1, and -labels at least 0")
	}
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	p, err := o.prepare(dir)
	if err != nil {
		return nil, fmt.Errorf("prepare images and models: %w", err)
	}
	for precision := range strings.SplitSeq(o.precisions, ",") {
		for i, n := range threads {
			s := setting{precision, n}
			var reference []int
			if i == len(threads)-1 {
				reference = p.reference
			}
			some, err := o.compare(s, p, reference)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.label(), err)
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

// compare lets the contestants of one setting alternate. Then each labels the images that the reference has labels of, which may
// be none.
func (o options) compare(s setting, p *prepared, reference []int) (all []*measured, err error) {
	entrants, err := p.entrants(s)
	if err != nil {
		return nil, err
	}
	var contestants []*contestant
	defer func() {
		for _, c := range contestants {
			_ = c.close() // all its answers were read
		}
	}()
	for _, e := range entrants {
		c, err := e.start()
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
			seconds, err := contestants[i].turn(o.turn)
			if err != nil {
				return nil, err
			}
			all[i].Rounds = append(all[i].Rounds, seconds)
		}
		fmt.Fprintf(os.Stderr, "\r%s: round %d of %d ", s.label(), round+1, o.rounds)
	}
	fmt.Fprintln(os.Stderr)
	if len(reference) == 0 {
		return all, nil
	}
	for i, c := range contestants {
		fmt.Fprintf(os.Stderr, "%s: labels of %s\n", s.label(), c.name)
		labels, err := c.labels(len(reference))
		if err != nil {
			return nil, err
		}
		all[i].Labels, all[i].Equal = len(reference), equal(labels, reference)
		// Runtimes differ in the last digits, which decide about an image in thousands.
		if s.Precision == "fp32" && all[i].Equal < len(reference)*99/100 {
			return nil, fmt.Errorf("%s has %d of %d labels of torchvision's: something is wrong with its input or its model",
				c.name, all[i].Equal, len(reference))
		}
	}
	return all, nil
}

// equal counts the labels that are as in the reference.
func equal(labels, reference []int) (n int) {
	for i, label := range labels {
		if label == reference[i] {
			n++
		}
	}
	return n
}
