//go:build unix

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/resnet18cloud/resnet18cloud/engine/decode"
)

// kind is a kind of files, with the pixels that Pillow decodes.
type kind struct {
	Kind  string   `json:"kind"`
	Files [][]byte `json:"files"`
	Sums  []string `json:"sums"`
}

// runFormats compares the decoders of all formats, for kinds whose names begin with a prefix.
func runFormats(folder, prefix string, count, rounds int, python string) error {
	runtime.GOMAXPROCS(1)
	names, err := spread(folder, count)
	if err != nil {
		return err
	}
	var theirs struct {
		Name  string `json:"name"`
		Kinds []kind `json:"kinds"`
	}
	process, err := startProcess(python, "bench/decode/formats.py", append([]string{prefix}, names...), &theirs)
	if err != nil {
		return err
	}
	defer func() { _ = process.close() }() // all its answers were read
	if len(theirs.Kinds) == 0 {
		return fmt.Errorf("formats.py has no kind whose name begins with %q", prefix)
	}
	var d decode.Decoder
	for _, k := range theirs.Kinds {
		for i, data := range k.Files {
			m, err := d.Decode(data, decode.Options{})
			if err != nil {
				return fmt.Errorf("%s of %s: %w", k.Kind, names[i], err)
			}
			if sum := sha256.Sum256(m.Pix); hex.EncodeToString(sum[:]) != k.Sums[i] {
				return fmt.Errorf("%s of %s: our pixels differ from theirs", k.Kind, names[i])
			}
		}
	}
	runtime.GC() // what reading the files has left
	ours, their, ratios := make([][]float64, len(theirs.Kinds)), make([][]float64, len(theirs.Kinds)), make([][]float64, len(theirs.Kinds))
	for i := range rounds {
		var seconds []float64
		if err := process.ask(&seconds); err != nil {
			return err
		}
		for j, k := range theirs.Kinds {
			start := cpuTime()
			for _, data := range k.Files {
				if _, err := d.Decode(data, decode.Options{}); err != nil {
					return err
				}
			}
			took := (cpuTime() - start).Seconds()
			ours[j], their[j], ratios[j] = append(ours[j], took), append(their[j], seconds[j]), append(ratios[j], took/seconds[j])
		}
		fmt.Fprintf(os.Stderr, "\rround %d of %d ", i+1, rounds)
	}
	fmt.Fprintf(os.Stderr, "\n%d images, %d rounds, one core of %s/%s; theirs is %s. Mean CPU milliseconds an image.\n\n",
		len(names), rounds, runtime.GOOS, runtime.GOARCH, theirs.Name)
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| files\t| ours\t| theirs\t| ours / theirs\t| quartiles\t|")
	fmt.Fprintln(tw, "| ---\t| ---\t| ---\t| ---\t| ---\t|")
	perImage := 1000 / float64(len(names))
	for i, k := range theirs.Kinds {
		fmt.Fprintf(tw, "| %s\t| %.3f\t| %.3f\t| %.2f\t| %.2f to %.2f\t|\n", k.Kind, quantile(ours[i], 0.5)*perImage,
			quantile(their[i], 0.5)*perImage, quantile(ratios[i], 0.5), quantile(ratios[i], 0.25), quantile(ratios[i], 0.75))
	}
	return tw.Flush()
}
