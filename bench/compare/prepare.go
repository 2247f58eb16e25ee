package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/quantize"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/model"
)

// The weights in the formats of the runtimes, in the folder of models.
const (
	pytorchFile   = "resnet18-ktb.pth"
	onnxFile      = "resnet18-ktb.onnx.gz" // batch norm folded in
	onnx8BitFile  = "resnet18-ktb-int8-qdq.onnx"
	onnx7BitFile  = "resnet18-ktb-int8-qdq-7bit.onnx.gz"
	systemsPython = "/usr/bin/python3" // the distribution's: it has the packages python3-torch and python3-opencv
)

// prepared is what the contestants read.
type prepared struct {
	models      string
	crops       string // file of the crops whose labels are compared; the first is timed
	reference   []int  // torchvision's labels of these
	calibration string // file of the crops to calibrate with
	ours8       string // our quantized weights; empty if int8 is not measured
	ncnn        *ncnn  // nil without
	pytorch     bool
	opencv      bool
}

// prepare makes crops and quantized models, in the folder dir unless they are to be kept, and finds out who is there.
func (o options) prepare(dir string) (*prepared, error) {
	images, err := readReference(o.reference)
	if err != nil {
		return nil, err
	}
	calibration, others := divide(images, o.calibrate)
	labelled, _ := divide(others, max(1, o.labels))
	if len(labelled) == 0 {
		return nil, fmt.Errorf("%s has %d images: none is left after -calibrate %d", o.reference, len(images), o.calibrate)
	}
	p := &prepared{models: o.models, crops: filepath.Join(dir, "crops.rgb"), calibration: filepath.Join(dir, "calibration.rgb")}
	if _, err := o.writeCrops(p.crops, labelled); err != nil {
		return nil, err
	}
	inputs, err := o.writeCrops(p.calibration, calibration)
	if err != nil {
		return nil, err
	}
	if o.labels > 0 {
		for _, i := range labelled {
			p.reference = append(p.reference, i.label)
		}
	}
	models := cmp.Or(o.keep, dir)
	if err := os.MkdirAll(models, 0o755); err != nil {
		return nil, err
	}
	if slices.Contains(strings.Split(o.precisions, ","), "int8") {
		p.ours8 = filepath.Join(models, "resnet18cloud-int8.safetensors")
		if err := quantizeOurs(p.ours8, filepath.Join(o.models, pytorchFile), inputs); err != nil {
			return nil, fmt.Errorf("quantize our weights: %w", err)
		}
	}
	p.pytorch = installed("PyTorch", "torch, torchvision", "apt install python3-torch python3-torchvision")
	p.opencv = installed("OpenCV", "cv2", "apt install python3-opencv")
	if o.ncnn == "" {
		fmt.Fprintln(os.Stderr, "without ncnn: docs/performance.md says how to build it; then make compare NCNN=FOLDER")
		return p, nil
	}
	p.ncnn, err = newNCNN(o.ncnn, models, filepath.Join(o.models, onnxFile), p.ours8 != "", inputs)
	if err != nil {
		err = fmt.Errorf("ncnn: %w", err)
	}
	return p, err
}

// installed reports whether the system's Python has modules, and says how to get them if not.
func installed(name, modules, remedy string) bool {
	if err := exec.Command(systemsPython, "-c", "import "+modules).Run(); err != nil {
		fmt.Fprintf(os.Stderr, "without %s: %s\n", name, remedy)
		return false
	}
	return true
}

// entrants lists who takes part under a setting; ours is first, and the others are compared with it.
func (p *prepared) entrants(s setting) ([]entrant, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	threads := strconv.Itoa(s.Threads)
	file := func(name string) string { return filepath.Join(p.models, name) }
	onnxRuntime := func(name, addendum string) entrant {
		return entrant{[]string{"node", "bench/compare/onnxruntime.mjs", file(name), threads, p.crops}, addendum}
	}
	opencv := []string{systemsPython, "bench/compare/opencv.py", file(onnxFile), threads, p.crops}
	var list []entrant
	switch s.Precision {
	case "fp32":
		list = append(list,
			entrant{[]string{self, "-worker", "fp32", file(pytorchFile), threads, p.crops}, ""},
			onnxRuntime(onnxFile, ""))
		if p.pytorch {
			list = append(list, entrant{[]string{systemsPython, "bench/compare/pytorch.py", file(pytorchFile), threads, p.crops}, ""})
		}
	case "int8":
		list = append(list,
			entrant{[]string{self, "-worker", "int8", p.ours8, threads, p.crops}, ""},
			onnxRuntime(onnx8BitFile, ", 8-bit weights"),
			onnxRuntime(onnx7BitFile, ", 7-bit weights"))
		opencv = append(opencv, p.calibration)
	default:
		return nil, fmt.Errorf("unknown precision %q, want fp32 or int8", s.Precision)
	}
	if p.ncnn != nil {
		list = append(list, p.ncnn.entrant(s, p.crops))
	}
	if p.opencv {
		list = append(list, entrant{opencv, ""})
	}
	return list, nil
}

// picture is an image of the reference.
type picture struct {
	file  string
	label int // torchvision's best class
}

func readReference(path string) (images []picture, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			File string `json:"file"`
			Top5 []int  `json:"top5"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(line.Top5) == 0 {
			return nil, fmt.Errorf("%s has no labels of %q", path, line.File)
		}
		images = append(images, picture{line.File, line.Top5[0]})
	}
	return images, nil
}

// divide takes n elements at even distances out of a list, or all of them, and returns them and the others.
func divide[T any](list []T, n int) (taken, others []T) {
	n = min(n, len(list))
	for i, element := range list {
		if len(taken) < n && i == len(taken)*len(list)/n {
			taken = append(taken, element)
		} else {
			others = append(others, element)
		}
	}
	return taken, others
}

// writeCrops crops images as torchvision does, to the same pixels, and writes the crops to a file.
func (o options) writeCrops(to string, images []picture) (crops [][]byte, err error) {
	f, err := os.Create(to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	c := preprocess.Cropper{Spec: spec.Torchvision()}
	for _, i := range images {
		data, err := os.ReadFile(filepath.Join(o.pictures, i.file))
		if err != nil {
			return nil, fmt.Errorf("%w (make images)", err)
		}
		var input preprocess.Input
		if err := c.Crop(&input, data); err != nil {
			return nil, fmt.Errorf("%s: %w", i.file, err)
		}
		if _, err := f.Write(input); err != nil {
			return nil, err
		}
		crops = append(crops, input)
	}
	return crops, nil
}

// quantizeOurs writes our 8-bit weights, unless the file is there.
func quantizeOurs(to, from string, inputs [][]byte) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	set, err := weights.Load(from)
	if err != nil {
		return err
	}
	defer set.Close()
	params, err := resnet.Fold(set)
	if err != nil {
		return err
	}
	network, err := resnet.New(params, nil)
	if err != nil {
		return err
	}
	calibration, err := quantize.Calibrate(network, inputs, func(done, of int) error {
		if done%100 == 0 || done == of {
			fmt.Fprintf(os.Stderr, "\rcalibrate int8: pass %d of %d ", done, of)
		}
		return nil
	})
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return err
	}
	q, err := resnet.Quantize(params, calibration)
	if err != nil {
		return err
	}
	quantized := q.Set()
	return model.Save(to, &safetensors.Content{Tensors: quantized.Tensors, Int8: quantized.Int8, Metadata: quantized.Metadata})
}
