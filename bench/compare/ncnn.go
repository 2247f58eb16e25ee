package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/model"
)

// ncnn is the program of a contestant, and the folder with its models: PRECISION.param and PRECISION.bin.
type ncnn struct{ program, models string }

func (n *ncnn) entrant(s setting, crops string) entrant {
	path := filepath.Join(n.models, s.Precision)
	return entrant{command: []string{n.program, path + ".param", path + ".bin", fmt.Sprint(s.Threads), crops}}
}

// newNCNN compiles ncnn/contestant.cpp with what is installed in a folder, and writes the weights of an ONNX file in ncnn's format. ncnn's own
// tools make them int8.
func newNCNN(installed, models, onnx string, int8 bool, calibration [][]byte) (*ncnn, error) {
	dir := filepath.Join(models, "ncnn")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	n := &ncnn{filepath.Join(dir, "contestant"), dir}
	if err := execute(cmp.Or(os.Getenv("CXX"), "g++"), "-O2", "-fopenmp", "-I", filepath.Join(installed, "include/ncnn"),
		"-o", n.program, "bench/compare/ncnn/contestant.cpp", "-L", filepath.Join(installed, "lib"), "-lncnn"); err != nil {
		return nil, err
	}
	set, err := weights.Load(onnx)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	param, bin := filepath.Join(dir, "fp32.param"), filepath.Join(dir, "fp32.bin")
	text, data, err := ncnnModel(set)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(param, text, 0o600), os.WriteFile(bin, data, 0o600)); err != nil {
		return nil, err
	}
	param8, bin8 := filepath.Join(dir, "int8.param"), filepath.Join(dir, "int8.bin")
	if _, err := os.Stat(bin8); err == nil || !int8 {
		return n, nil
	}
	list, err := writePNGs(dir, calibration)
	if err != nil {
		return nil, err
	}
	table := filepath.Join(dir, "int8.table")
	var mean, norm []string
	p := spec.Torchvision()
	for c := range p.Mean {
		mean = append(mean, fmt.Sprint(255*p.Mean[c]))
		norm = append(norm, fmt.Sprint(1/(255*p.Deviation[c])))
	}
	if err := execute(filepath.Join(installed, "bin/ncnn2table"), param, bin, list, table, "mean=["+strings.Join(mean, ",")+"]",
		"norm=["+strings.Join(norm, ",")+"]", "shape=[224,224,3]", "pixel=RGB", "thread=2", "method=kl"); err != nil {
		return nil, err
	}
	if err := finite(table); err != nil {
		return nil, err
	}
	return n, execute(filepath.Join(installed, "bin/ncnn2int8"), param, bin, param8, bin8, table)
}

// finite replaces infinite scales in ncnn2table's table by 1. They are those of channels whose weights are all zero, for which any
// scale is right, and infinity times zero would make every logit NaN.
func finite(table string) error {
	data, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	return os.WriteFile(table, bytes.ReplaceAll(data, []byte(" inf"), []byte(" 1")), 0o600)
}

// execute runs a command, and shows what it prints only if it fails.
func execute(command string, args ...string) error {
	if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{command}, args...), " "), err, out)
	}
	return nil
}

// ncnnModel writes ResNet-18 in ncnn's format: a text with a line per layer, and the weights in the order of the layers. Each line has
// type, name, numbers of inputs and outputs, their names, and numbered parameters. Batch norm must be folded in.
func ncnnModel(set *weights.Set) (param, bin []byte, err error) {
	w := ncnnWriter{set: set, blobs: map[string]bool{}}
	w.layer("Input", "data", nil, []string{"data"}, "0=224 1=224 2=3")
	x := w.conv("conv1", "data", 7, 2, true)
	w.layer("Pooling", "maxpool", []string{x}, []string{"maxpool"}, "0=0 1=3 2=2 3=1 5=1") // 5=1: round down, as PyTorch does
	x = "maxpool"
	for stage := 1; stage <= 4; stage++ {
		for block := range 2 {
			prefix := fmt.Sprintf("layer%d.%d.", stage, block)
			main, residual := prefix+"main", prefix+"residual"
			w.layer("Split", prefix+"split", []string{x}, []string{main, residual}, "")
			stride := 1
			if stage > 1 && block == 0 {
				stride = 2
				residual = w.conv(prefix+"downsample.0", residual, 1, 2, false)
			}
			main = w.conv(prefix+"conv2", w.conv(prefix+"conv1", main, 3, stride, true), 3, 1, false)
			w.layer("Eltwise", prefix+"sum", []string{residual, main}, []string{prefix + "sum"}, "0=1")
			x = prefix + "relu"
			w.layer("ReLU", x, []string{prefix + "sum"}, []string{x}, "")
		}
	}
	w.layer("Pooling", "avgpool", []string{x}, []string{"avgpool"}, "0=1 4=1")
	size := w.weights("fc")
	w.layer("InnerProduct", "fc", []string{"avgpool"}, []string{"logits"}, fmt.Sprintf("0=%d 1=1 2=%d", set.Spec.Head.Classes, size))
	text := fmt.Sprintf("7767517\n%d %d\n%s", w.layers, len(w.blobs), w.text.String())
	return []byte(text), w.bin.Bytes(), w.err
}

type ncnnWriter struct {
	set    *weights.Set
	text   bytes.Buffer
	bin    bytes.Buffer
	layers int
	blobs  map[string]bool
	err    error
}

func (w *ncnnWriter) layer(kind, name string, inputs, outputs []string, parameters string) {
	w.layers++
	for _, blob := range outputs {
		w.blobs[blob] = true
	}
	fmt.Fprintln(&w.text, kind, name, len(inputs), len(outputs), strings.Join(inputs, " "), strings.Join(outputs, " "), parameters)
}

// conv writes a convolution, and ReLU with it, and returns the name of its output.
func (w *ncnnWriter) conv(name, input string, kernel, stride int, relu bool) string {
	size := w.weights(name)
	channels := w.set.Tensors[name+".bias"].Shape
	activation := 0
	if relu {
		activation = 1
	}
	if w.err == nil {
		w.layer("Convolution", name, []string{input}, []string{name},
			fmt.Sprintf("0=%d 1=%d 3=%d 4=%d 5=1 6=%d 9=%d", channels[0], kernel, stride, kernel/2, size, activation))
	}
	return name
}

// weights appends a layer's weights, after four bytes of zero that say that they are floats, and its biases. It returns the number of
// weights.
func (w *ncnnWriter) weights(name string) int {
	weight, ok := w.set.Tensors[name+".weight"]
	bias, hasBias := w.set.Tensors[name+".bias"]
	if !ok || !hasBias {
		w.err = cmp.Or(w.err, fmt.Errorf("no weight and bias of %s, with batch norm folded in", name))
		return 0
	}
	for _, part := range []any{uint32(0), weight.Data, bias.Data} {
		w.err = cmp.Or(w.err, binary.Write(&w.bin, binary.LittleEndian, part))
	}
	return len(weight.Data)
}

// writePNGs writes crops for ncnn2table to a folder, and returns the file that lists them.
func writePNGs(dir string, crops [][]byte) (string, error) {
	var list strings.Builder
	for i, crop := range crops {
		m := image.NewNRGBA(image.Rect(0, 0, 224, 224))
		for p := range 224 * 224 {
			m.Set(p%224, p/224, color.NRGBA{crop[3*p], crop[3*p+1], crop[3*p+2], 255})
		}
		path := filepath.Join(dir, fmt.Sprintf("calibration%03d.png", i))
		if err := model.WriteFile(path, func(w io.Writer) error { return png.Encode(w, m) }); err != nil {
			return "", err
		}
		fmt.Fprintln(&list, path)
	}
	path := filepath.Join(dir, "calibration.txt")
	return path, os.WriteFile(path, []byte(list.String()), 0o600)
}
