package describe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// The keys of safetensors' metadata under which converted files describe their model. The values are JSON.
const (
	MetaLabels     = "labels"     // list of the names of the classes; absent if they are not known
	MetaHead       = "head"       // a spec.Head
	MetaPreprocess = "preprocess" // a spec.Preprocess
)

// Encode returns metadata that describe a model. [Metadata] reads it back without loss. Other metadata of the file are kept, but
// for labels under other names.
func Encode(m spec.Model, keep map[string]string) (map[string]string, error) {
	metadata := map[string]string{}
	maps.Copy(metadata, keep)
	for _, key := range labelKeys {
		delete(metadata, key)
	}
	values := map[string]any{MetaHead: m.Head, MetaPreprocess: m.Preprocess}
	if m.Labels != nil {
		values[MetaLabels] = m.Labels
	}
	for key, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("metadata %s: %w", key, err)
		}
		metadata[key] = string(text)
	}
	return metadata, nil
}

// fromMetadata is the source of parts that the file's own metadata say.
const fromMetadata = "metadata of the file"

// Metadata reads the metadata of a safetensors or ONNX file: what [Encode] writes, and labels under the names that
// people use, such as "classes" and "id2label", as JSON.
func Metadata(metadata map[string]string) (d Description, err error) {
	if len(metadata[MetaHead]) > 0 {
		var head spec.Head
		if err := decode([]byte(metadata[MetaHead]), &head); err != nil {
			return d, fmt.Errorf("metadata %s: %w", MetaHead, err)
		}
		if err := head.Validate(); err != nil {
			return d, fmt.Errorf("metadata %s: %w", MetaHead, err)
		}
		d.Head = &head
		d.setActivation(head.Activation, fromMetadata)
	}
	if text := metadata[MetaPreprocess]; text != "" {
		p := new(spec.Preprocess)
		d.setPreprocess(p, decode([]byte(text), p), fromMetadata)
	}
	for _, key := range labelKeys {
		text := strings.TrimSpace(metadata[key])
		if strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{") {
			labels, err := Labels([]byte(text))
			d.setLabels(labels, err, fromMetadata)
			break
		}
	}
	return d, nil
}

// fromCheckpoint is the source of parts that a PyTorch checkpoint says beside its weights.
const fromCheckpoint = "checkpoint"

// Facts reads the plain values of a checkpoint by their dotted paths, such as "meta.dataset_meta.classes" with a []string,
// "hyper_parameters.class_to_idx" with a map[string]int64, and "args.mean" with a []float64. Of several, those nearest to the
// root count.
func Facts(facts map[string]any) (d Description) {
	paths := slices.SortedFunc(maps.Keys(facts), func(a, b string) int {
		if n := strings.Count(a, ".") - strings.Count(b, "."); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for _, path := range paths {
		labels, err, ok := factLabels(facts, path)
		if ok && d.Labels == nil {
			d.setLabels(labels, err, fromCheckpoint+"'s "+path)
		}
		if p := factColors(facts, path); p != nil && d.Sources.Preprocess == "" {
			d.setPreprocess(p, nil, fromCheckpoint)
		}
	}
	return d
}

// last is the last part of a dotted path, and what stands before it with its dot.
func last(path string) (before, name string) {
	i := strings.LastIndexByte(path, '.') + 1
	return path[:i], path[i:]
}

// factLabels reads the labels at a path; ok is false if it has none.
func factLabels(facts map[string]any, path string) (labels []string, err error, ok bool) { //nolint:revive // ok says whether the others count
	_, name := last(path)
	if !slices.Contains(labelKeys, strings.ToLower(name)) {
		return nil, nil, false
	}
	switch facts[path].(type) {
	case []string, map[string]int64, map[int64]string, map[string]string:
	default:
		return nil, nil, false
	}
	text, err := json.Marshal(facts[path])
	if err != nil {
		return nil, err, true
	}
	labels, err = Labels(text)
	return labels, err, true
}

// factColors returns torchvision's preprocessing with the mean and deviation of a checkpoint, if path is the mean and a deviation
// is beside it. mmpretrain writes them in units of bytes.
func factColors(facts map[string]any, path string) *spec.Preprocess {
	before, name := last(path)
	mean, ok := facts[path].([]float64)
	std, okStd := facts[before+"std"].([]float64)
	if name != "mean" || !ok || !okStd || len(mean) != 3 || len(std) != 3 {
		return nil
	}
	p := spec.Torchvision()
	p.Mean, p.Deviation = spec.Units([3]float64(mean), [3]float64(std))
	if p.Validate() != nil {
		return nil
	}
	return &p
}
