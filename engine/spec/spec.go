// Package spec describes a model apart from its weights: its classes, its head, and the preprocessing it was trained with.
// Package weights finds a description in files, the other packages of the engine follow it. It does no work itself.
package spec

import (
	"errors"
	"fmt"
	"math"
)

// Model describes a model. The zero value is not valid.
type Model struct {
	Labels     []string // name of each class; nil if the file does not have them
	Head       Head
	Preprocess Preprocess
}

// Features is the number of channels of a ResNet-18's last convolution.
const Features = 512

// MaxClasses is the most classes that a model may have.
const MaxClasses = 2000

// Head describes what follows the last convolution: pooling, fully connected layers, and the meaning of their output.
type Head struct {
	Pool Pool `json:"pool"`
	// ReLU says for each fully connected layer whether ReLU follows it; its length is the number of layers. The last is
	// false. No layers means that the model has features only.
	ReLU []bool `json:"relu"`
	// Classes is the number of outputs, 0 without layers.
	Classes    int        `json:"classes"`
	Activation Activation `json:"activation"`
}

// Pool is how the pixels of the last convolution become one value for each channel.
type Pool string

// The kinds of pooling. MaxAverage is the maximum of each channel, then the average of each: twice as many values.
const (
	Average    Pool = "average"
	MaxAverage Pool = "max+average"
)

// Activation turns outputs into scores.
type Activation string

// The activations. Softmax is for one class of several, Sigmoid for classes that are independent of each other or for a
// single one. None leaves the outputs as they are.
const (
	Softmax Activation = "softmax"
	Sigmoid Activation = "sigmoid"
	None    Activation = "none"
)

// Preprocess is how a picture becomes the network's input.
type Preprocess struct {
	// Mode is how the picture gets its new size.
	Mode Mode `json:"mode"`
	// Resize is the new length of the shorter side, or of both sides in mode Squash, in pixels.
	Resize int `json:"resize"`
	// Crop is the side of the square that is cut from the center: the network's input, a multiple of 32.
	Crop          int           `json:"crop"`
	Interpolation Interpolation `json:"interpolation"`
	// Center is how the first pixel of the crop is rounded.
	Center Rounding `json:"center"`
	// Mean and Deviation of each color, red, green and blue, where a byte x stands for x/255: the network's input is
	// (x/255 - mean) / deviation.
	Mean      [3]float64 `json:"mean"`
	Deviation [3]float64 `json:"deviation"`
	// Orient rotates pictures by their EXIF orientation first.
	Orient bool `json:"orient,omitempty"`
}

// Mode is how a picture gets its new size.
type Mode string

// The modes. Shorter keeps the shape: the shorter side becomes Preprocess.Resize. Squash makes both sides equal. Fill
// crops the largest square from the center first, then resizes that.
const (
	Shorter Mode = "shorter"
	Squash  Mode = "squash"
	Fill    Mode = "fill"
)

// Interpolation is a filter of Pillow's resize.
type Interpolation string

// The filters.
const (
	Bilinear Interpolation = "bilinear"
	Bicubic  Interpolation = "bicubic"
	Nearest  Interpolation = "nearest"
)

// Rounding is how half a pixel is rounded.
type Rounding string

// The ways to round: HalfEven is torchvision's and timm's, Floor that of transformers.
const (
	HalfEven Rounding = "round"
	Floor    Rounding = "floor"
)

// The sizes of input that the network takes: multiples of SizeStep from MinSize to MaxSize pixels.
const (
	MinSize  = 128
	MaxSize  = 320
	SizeStep = 32
)

// Torchvision returns the preprocessing of torchvision's weights.
func Torchvision() Preprocess {
	return Preprocess{Mode: Shorter, Resize: 256, Crop: 224, Interpolation: Bilinear, Center: HalfEven,
		Mean: [3]float64{0.485, 0.456, 0.406}, Deviation: [3]float64{0.229, 0.224, 0.225}}
}

// ImageNet returns the description of torchvision's weights, without labels.
func ImageNet() Model {
	return Model{Head: Linear(1000), Preprocess: Torchvision()}
}

// Linear returns the head of a model that has one layer for a choice of classes.
func Linear(classes int) Head {
	return Head{Pool: Average, ReLU: []bool{false}, Classes: classes, Activation: Softmax}
}

// LayerName returns what weight files call the fully connected layer with index i of n: its tensors are "fc.weight" and
// "fc.bias" if it is the only one, else "fc.0.weight" and so on.
func LayerName(i, n int) string {
	if n == 1 {
		return "fc"
	}
	return fmt.Sprintf("fc.%d", i)
}

// maxResize is more than any picture is resized to before it is cropped.
const maxResize = 1024

// Validate checks all values.
func (p Preprocess) Validate() error {
	switch {
	case p.Mode != Shorter && p.Mode != Squash && p.Mode != Fill:
		return fmt.Errorf("preprocessing mode %q, want %s, %s or %s", p.Mode, Shorter, Squash, Fill)
	case p.Interpolation != Bilinear && p.Interpolation != Bicubic && p.Interpolation != Nearest:
		return fmt.Errorf("interpolation %q, want %s, %s or %s", p.Interpolation, Bilinear, Bicubic, Nearest)
	case p.Center != HalfEven && p.Center != Floor:
		return fmt.Errorf("rounding of the center %q, want %s or %s", p.Center, HalfEven, Floor)
	case p.Crop < MinSize || p.Crop > MaxSize || p.Crop%SizeStep != 0:
		return fmt.Errorf("input of %d pixels, want a multiple of %d from %d to %d", p.Crop, SizeStep, MinSize, MaxSize)
	case p.Resize < p.Crop || p.Resize > maxResize:
		return fmt.Errorf("resize to %d pixels, want %d (the input) to %d", p.Resize, p.Crop, maxResize)
	}
	for color := range 3 {
		if m, d := p.Mean[color], p.Deviation[color]; !(math.Abs(m) <= 1) || !(d > 1e-3 && d <= 10) {
			return fmt.Errorf("mean %v and deviation %v, want them in units of 1, not of 255", p.Mean, p.Deviation)
		}
	}
	return nil
}

// Validate checks all values.
func (h Head) Validate() error {
	switch {
	case h.Pool != Average && h.Pool != MaxAverage:
		return fmt.Errorf("pooling %q, want %s or %s", h.Pool, Average, MaxAverage)
	case h.Activation != Softmax && h.Activation != Sigmoid && h.Activation != None:
		return fmt.Errorf("activation %q, want %s, %s or %s", h.Activation, Softmax, Sigmoid, None)
	case len(h.ReLU) == 0 && h.Classes != 0, len(h.ReLU) > 0 && (h.Classes < 1 || h.Classes > MaxClasses):
		return fmt.Errorf("%d classes after %d layers, want 1 to %d, or 0 without layers", h.Classes, len(h.ReLU), MaxClasses)
	case len(h.ReLU) > 0 && h.ReLU[len(h.ReLU)-1]:
		return errors.New("ReLU after the last layer, want none")
	case h.Classes == 1 && h.Activation == Softmax:
		return errors.New("softmax of one output is always 1; want sigmoid or none")
	}
	return nil
}

// Validate checks all values and that there is a label for each class, if there are any.
func (m Model) Validate() error {
	if m.Labels != nil && len(m.Labels) != m.Head.Classes {
		return fmt.Errorf("%d labels for %d classes", len(m.Labels), m.Head.Classes)
	}
	return errors.Join(m.Head.Validate(), m.Preprocess.Validate())
}

// Label returns the name of a class: "class 3" without labels.
func (m Model) Label(class int) string {
	if m.Labels == nil {
		return fmt.Sprintf("class %d", class)
	}
	return m.Labels[class]
}
