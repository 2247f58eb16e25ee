package describe

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// processor is a preprocessor_config.json of transformers. Its types differ in their defaults and in what a size means.
type processor struct {
	Type          string    `json:"image_processor_type"`
	OldType       string    `json:"feature_extractor_type"`
	DoResize      *bool     `json:"do_resize"`
	Size          size      `json:"size"`
	CropPct       *float64  `json:"crop_pct"`
	Resample      *int      `json:"resample"`
	DoCenterCrop  *bool     `json:"do_center_crop"`
	CropSize      size      `json:"crop_size"`
	DoRescale     *bool     `json:"do_rescale"`
	RescaleFactor float64   `json:"rescale_factor"`
	RescaleOffset bool      `json:"rescale_offset"`
	DoNormalize   *bool     `json:"do_normalize"`
	Mean          []float64 `json:"image_mean"`
	Std           []float64 `json:"image_std"`
	PretrainedCfg *timmData `json:"pretrained_cfg"`
}

// size is a number, {"shortest_edge": n} or {"height": n, "width": n}.
type size struct {
	Number       int `json:"-"`
	ShortestEdge int `json:"shortest_edge"`
	Height       int `json:"height"`
	Width        int `json:"width"`
}

func (s *size) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
		return json.Unmarshal(data, &s.Number)
	}
	type fields size // without this method
	return json.Unmarshal(data, (*fields)(s))
}

// Processor reads a preprocessor_config.json.
func Processor(data []byte) (d Description, err error) {
	var p processor
	if err := decode(data, &p); err != nil {
		return d, fmt.Errorf("%s: %w", ProcessorFile, err)
	}
	if p.PretrainedCfg != nil { // transformers' wrapper of timm
		to, problem := p.PretrainedCfg.preprocess()
		d.setPreprocess(to, problem, ProcessorFile)
		return d, nil
	}
	if strings.HasPrefix(p.kind(), "TimmWrapper") {
		return d, nil // config.json says it
	}
	to, problem := p.preprocess()
	d.setPreprocess(to, problem, ProcessorFile)
	return d, nil
}

func (p processor) kind() string { return cmp.Or(p.Type, p.OldType) }

// preprocess follows transformers' image processors.
func (p processor) preprocess() (*spec.Preprocess, error) {
	to := spec.Torchvision()
	to.Center = spec.Floor
	to.Mean, to.Deviation = [3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5} // IMAGENET_STANDARD_MEAN and _STD
	var err error
	if to.Interpolation, err = p.interpolation(); err != nil {
		return nil, err
	}
	if err := p.sizes(&to); err != nil {
		return nil, err
	}
	if err := errors.Join(setColors(&to.Mean, p.Mean, "image_mean"), setColors(&to.Deviation, p.Std, "image_std")); err != nil {
		return nil, err
	}
	return &to, p.normalize(&to)
}

// interpolation returns Pillow's filter of that number.
func (p processor) interpolation() (spec.Interpolation, error) {
	if p.Resample == nil {
		return spec.Bilinear, nil
	}
	switch *p.Resample {
	case 0:
		return spec.Nearest, nil
	case 2:
		return spec.Bilinear, nil
	case 3:
		return spec.Bicubic, nil
	}
	return "", fmt.Errorf("resample is %d, want 0 (nearest), 2 (bilinear) or 3 (bicubic)", *p.Resample)
}

// squashFrom is the size from which ConvNextImageProcessor resizes both sides and does not crop.
const squashFrom = 384

// sizes sets mode, resize and crop.
func (p processor) sizes(to *spec.Preprocess) (err error) {
	if p.DoResize != nil && !*p.DoResize {
		return errors.New("do_resize is false: pictures would keep their sizes, and the network takes one size")
	}
	if strings.HasPrefix(p.kind(), "ConvNext") || p.CropPct != nil {
		to.Crop = cmp.Or(p.Size.ShortestEdge, p.Size.Number, p.Size.Height)
		if to.Crop >= squashFrom {
			return fmt.Errorf("size is %d; %s", to.Crop, wantSizes)
		}
		to.Resize, err = beforeCrop(to.Crop, p.CropPct)
		return err
	}
	cropped := p.DoCenterCrop != nil && *p.DoCenterCrop || p.DoCenterCrop == nil && p.CropSize != size{}
	switch s := p.Size; {
	case s.ShortestEdge != 0:
		to.Resize = s.ShortestEdge
		if !cropped {
			return errors.New("size has a shortest_edge and do_center_crop is not true: pictures would keep their shapes, and the network takes squares")
		}
	case s.Height != s.Width:
		return fmt.Errorf("size is %dx%d; %s", s.Height, s.Width, wantSizes)
	case s.Number != 0 && cropped && !strings.HasPrefix(p.kind(), "DeiT"): // CLIP's meaning of a number; ViT's and DeiT's are both sides
		to.Resize = s.Number
	default:
		to.Mode, to.Resize = spec.Squash, cmp.Or(s.Height, s.Number, to.Crop)
	}
	to.Crop = to.Resize
	if cropped {
		c := p.CropSize
		if c.Height != c.Width {
			return fmt.Errorf("crop_size is %dx%d; %s", c.Height, c.Width, wantSizes)
		}
		to.Crop = cmp.Or(c.Height, c.Number, c.ShortestEdge, to.Crop)
	}
	return nil
}

// normalize expresses scale and offset of a byte x in units of x/255. With a factor f and an offset of 1 where it is subtracted,
//
//	(x f - offset - mean) / std = (x/255 - (mean + offset)/(255 f)) / (std/(255 f)).
func (p processor) normalize(to *spec.Preprocess) error {
	if p.DoNormalize != nil && !*p.DoNormalize {
		to.Mean, to.Deviation = [3]float64{}, [3]float64{1, 1, 1}
	}
	scale := 255 * p.RescaleFactor
	switch {
	case p.DoRescale != nil && !*p.DoRescale:
		scale = 255
	case p.RescaleFactor == 0 || math.Abs(scale-1) < 1e-6: // 1/255 as files write it
		scale = 1
	}
	if !(scale > 0) {
		return fmt.Errorf("rescale_factor is %v, want more than 0", p.RescaleFactor)
	}
	offset := 0.0
	if p.RescaleOffset {
		offset = 1
	}
	for color := range 3 {
		to.Mean[color] = (to.Mean[color] + offset) / scale
		to.Deviation[color] /= scale
	}
	return nil
}
