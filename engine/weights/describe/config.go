package describe

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// The names of the side files that hubs store beside weights.
const (
	ConfigFile    = "config.json"
	ProcessorFile = "preprocessor_config.json"
)

// config is a config.json, of transformers or of timm.
type config struct {
	// transformers: src/transformers/models/resnet/configuration_resnet.py
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures"`
	ProblemType   string   `json:"problem_type"`
	LayerType     string   `json:"layer_type"`
	Depths        []int    `json:"depths"`
	HiddenSizes   []int    `json:"hidden_sizes"`
	EmbeddingSize int      `json:"embedding_size"`
	HiddenAct     string   `json:"hidden_act"`
	FirstStage    bool     `json:"downsample_in_first_stage"`

	// timm: timm/models/_hub.py. Older files have the fields of pretrained_cfg beside these.
	Architecture  string            `json:"architecture"`
	GlobalPool    string            `json:"global_pool"`
	PretrainedCfg *timmData         `json:"pretrained_cfg"`
	DataConfig    *timmData         `json:"data_config"`
	Descriptions  map[string]string `json:"label_descriptions"`
	timmData

	// Labels, by the names in labelKeys.
	LabelNames json.RawMessage `json:"label_names"`
	Labels     json.RawMessage `json:"labels"`
	ID2Label   json.RawMessage `json:"id2label"`
	Label2ID   json.RawMessage `json:"label2id"`
}

// Config reads a config.json. A file of another program is no description and no error. A model of another architecture is an
// error that names it.
func Config(data []byte) (d Description, err error) {
	var c config
	if err := decode(data, &c); err != nil {
		return d, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	switch {
	case c.Architecture != "" || c.PretrainedCfg != nil:
		err = c.checkTimm()
		p, problem := c.timm().preprocess()
		d.setPreprocess(p, problem, ConfigFile)
	case c.ModelType != "" || len(c.Architectures) > 0:
		err = c.checkTransformers()
	default:
		return d, nil
	}
	if err != nil {
		return Description{}, fmt.Errorf("%s beside the weights: %w", ConfigFile, err)
	}
	labels, err := c.labels()
	d.setLabels(labels, err, ConfigFile)
	switch c.ProblemType {
	case "multi_label_classification":
		d.setActivation(spec.Sigmoid, ConfigFile)
	case "single_label_classification":
		d.setActivation(spec.Softmax, ConfigFile)
	case "regression":
		d.setActivation(spec.None, ConfigFile)
	}
	return d, nil
}

// decode reads a JSON object of a side file.
func decode(data []byte, to any) error {
	if len(data) > MaxBytes {
		return fmt.Errorf("%d bytes, want at most %d", len(data), MaxBytes)
	}
	return json.Unmarshal(data, to)
}

// checkTransformers refuses what is no ResNet-18. Fields that are missing are not checked: the shapes of the weights show what
// they are.
func (c config) checkTransformers() error {
	is := func(list []int, want ...int) bool { return list == nil || slices.Equal(list, want) }
	switch {
	case c.ModelType == "timm_wrapper":
		return nil // of timm without its architecture
	case c.ModelType != "" && c.ModelType != "resnet":
		return fmt.Errorf("model_type is %.40q, want resnet (ResNet-18)", c.ModelType)
	case c.LayerType != "" && c.LayerType != "basic":
		return fmt.Errorf("layer_type is %.40q, want basic: this is a ResNet-50 or larger, not ResNet-18", c.LayerType)
	case !is(c.Depths, 2, 2, 2, 2):
		return fmt.Errorf("depths are %v, want [2 2 2 2]: this is not ResNet-18", c.Depths)
	case !is(c.HiddenSizes, 64, 128, 256, 512), c.EmbeddingSize != 0 && c.EmbeddingSize != 64:
		return fmt.Errorf("hidden_sizes are %v and embedding_size is %d, want those of ResNet-18: [64 128 256 512] and 64", c.HiddenSizes, c.EmbeddingSize)
	case c.FirstStage:
		return errors.New("downsample_in_first_stage is true, want false as in ResNet-18")
	case c.HiddenAct != "" && c.HiddenAct != "relu":
		return fmt.Errorf("hidden_act is %.40q, want relu", c.HiddenAct)
	}
	return nil
}

// timmNames are the architectures of timm that are ResNet-18, the older ones with their training in the name.
var timmNames = []string{"resnet18", "tv_resnet18", "gluon_resnet18_v1b", "ssl_resnet18", "swsl_resnet18"}

func (c config) checkTimm() error {
	name, _, _ := strings.Cut(c.Architecture, ".") // resnet18.a1_in1k: the part after the dot names the training
	switch {
	case name != "" && !slices.Contains(timmNames, name):
		return fmt.Errorf("architecture is %.60q, want resnet18", c.Architecture)
	case c.GlobalPool != "" && c.GlobalPool != "avg":
		return fmt.Errorf("global_pool is %.40q, want avg", c.GlobalPool)
	}
	return nil
}

// placeholder is what transformers calls classes without a name.
var placeholder = regexp.MustCompile(`^LABEL_\d+$`)

// labels returns nil if there are none, or only placeholders.
func (c config) labels() ([]string, error) {
	for _, text := range []json.RawMessage{c.LabelNames, c.Labels, c.ID2Label, c.Label2ID} {
		if len(text) == 0 || string(text) == "null" || string(text) == "{}" || string(text) == "[]" {
			continue
		}
		labels, err := Labels(text)
		if err != nil || slices.ContainsFunc(labels, placeholder.MatchString) {
			return nil, err
		}
		return c.described(labels), nil
	}
	return nil, nil
}

// described replaces names that are all ids of WordNet by their descriptions.
func (c config) described(labels []string) []string {
	described := make([]string, len(labels))
	for i, label := range labels {
		if !synset.MatchString(label) || c.Descriptions[label] == "" {
			return labels
		}
		described[i] = c.Descriptions[label]
	}
	if described, err := clean(described); err == nil {
		return described
	}
	return labels
}

// timmData is timm's pretrained_cfg: how pictures are prepared (timm/data/config.py, transforms_factory.py).
type timmData struct {
	InputSize     []int     `json:"input_size"`
	CropPct       *float64  `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
	Interpolation string    `json:"interpolation"`
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
}

// timm returns the first of the three places that has something.
func (c config) timm() timmData {
	return *cmp.Or(c.PretrainedCfg, c.DataConfig, &c.timmData)
}

// preprocess follows timm's transforms for evaluation, with timm's defaults for what is missing. It is nil if
// nothing is said.
func (t timmData) preprocess() (*spec.Preprocess, error) {
	if t.InputSize == nil && t.CropPct == nil && t.Interpolation == "" && t.Mean == nil && t.Std == nil {
		return nil, nil
	}
	p := spec.Torchvision()
	size := []int{3, p.Crop, p.Crop}
	if t.InputSize != nil {
		size = t.InputSize
	}
	if len(size) != 3 || size[0] != 3 || size[1] != size[2] {
		return nil, fmt.Errorf("input_size is %v; %s, such as [3 224 224]", size, wantSizes)
	}
	p.Crop = size[1]
	var err error
	if p.Resize, err = beforeCrop(p.Crop, t.CropPct); err != nil {
		return nil, err
	}
	switch p.Interpolation = spec.Interpolation(cmp.Or(t.Interpolation, string(spec.Bicubic))); p.Interpolation {
	case spec.Bilinear, spec.Bicubic, spec.Nearest:
	case "random": // one of both in training
		p.Interpolation = spec.Bilinear
	default:
		return nil, fmt.Errorf("interpolation is %.40q, want bilinear, bicubic or nearest", t.Interpolation)
	}
	switch t.CropMode {
	case "", "center":
	case "squash":
		p.Mode = spec.Squash
	default:
		return nil, fmt.Errorf("crop_mode is %.40q, want center or squash: padding is not supported", t.CropMode)
	}
	return &p, errors.Join(setColors(&p.Mean, t.Mean, "mean"), setColors(&p.Deviation, t.Std, "std"))
}

// wantSizes says which inputs are possible.
var wantSizes = fmt.Sprintf("want a square of 3 colors, with a side of %d to %d pixels that is a multiple of %d", spec.MinSize, spec.MaxSize, spec.SizeStep)

// beforeCrop is the size to which a picture is resized, so that its crop has a share of it: floor(size/share). The share of 224 is
// 0.875 by default, which gives 256.
func beforeCrop(size int, share *float64) (int, error) {
	pct := 0.875
	if share != nil {
		pct = *share
	}
	if !(pct > 0.1 && pct <= 1) {
		return 0, fmt.Errorf("crop_pct is %v, want more than 0.1, up to 1", pct)
	}
	return int(math.Floor(float64(size) / pct)), nil
}

// setColors sets one number for each color if there are any.
func setColors(to *[3]float64, from []float64, name string) error {
	switch len(from) {
	case 0:
	case 1:
		*to = [3]float64{from[0], from[0], from[0]}
	case 3:
		*to = [3]float64(from)
	default:
		return fmt.Errorf("%s has %d numbers, want one for each of 3 colors", name, len(from))
	}
	return nil
}
