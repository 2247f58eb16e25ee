package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Usage describes the text that [ParsePreprocess] reads, for help and errors.
const Usage = "parts separated by commas: torchvision, transformers or fastai (the preprocessing to start from), mode=shorter|squash|fill, " +
	"resize=PIXELS, crop=PIXELS, interpolation=bilinear|bicubic|nearest, center=round|floor, mean=R/G/B, std=R/G/B, orient=true|false"

// String returns the text that [ParsePreprocess] reads, such as "mode=shorter,resize=256,crop=224,...".
func (p Preprocess) String() string {
	s := fmt.Sprintf("mode=%s,resize=%d,crop=%d,interpolation=%s,center=%s,mean=%s,std=%s",
		p.Mode, p.Resize, p.Crop, p.Interpolation, p.Center, formatColors(p.Mean), formatColors(p.Deviation))
	if p.Orient {
		s += ",orient=true"
	}
	return s
}

// String describes a head for people: "average pooling, 2 layers with ReLU between, 6 outputs, softmax".
func (h Head) String() string {
	layers, relu := plural(len(h.ReLU), "layer"), ""
	if len(h.ReLU) == 0 {
		return string(h.Pool) + " pooling, no classes: features only"
	}
	if slices.Contains(h.ReLU, true) {
		relu = " with ReLU between"
	}
	return fmt.Sprintf("%s pooling, %s%s, %s, %s", h.Pool, layers, relu, plural(h.Classes, "output"), h.Activation)
}

// plural counts things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Named returns the preprocessing that a library uses for ResNet-18 by default. Names are those of [Usage].
func Named(name string) (Preprocess, bool) {
	p := Torchvision()
	switch name {
	case "torchvision":
	case "transformers": // ConvNextImageProcessor, as microsoft/resnet-18 uses it
		p.Interpolation, p.Center = Bicubic, Floor
	case "fastai": // Resize(224) of a validation set
		p.Mode, p.Resize = Fill, p.Crop
	default:
		return Preprocess{}, false
	}
	return p, true
}

// ParsePreprocess changes base by a text such as "resize=235,interpolation=bicubic" or "transformers,crop=160": see
// [Usage]. The result is valid.
func ParsePreprocess(text string, base Preprocess) (Preprocess, error) {
	p := base
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if named, ok := Named(part); ok && i == 0 {
			p = named
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return base, fmt.Errorf("preprocessing %q, want %s", part, Usage)
		}
		if err := p.set(name, value); err != nil {
			return base, err
		}
	}
	if err := p.Validate(); err != nil {
		return base, err
	}
	return p, nil
}

// set changes one part. Values of a few words are left to Validate.
func (p *Preprocess) set(name, value string) (err error) {
	switch name {
	case "mode":
		p.Mode = Mode(value)
	case "resize":
		p.Resize, err = strconv.Atoi(value)
	case "crop":
		p.Crop, err = strconv.Atoi(value)
	case "interpolation":
		p.Interpolation = Interpolation(value)
	case "center":
		p.Center = Rounding(value)
	case "mean":
		p.Mean, err = parseColors(value)
	case "std":
		p.Deviation, err = parseColors(value)
	case "orient":
		p.Orient, err = strconv.ParseBool(value)
	default:
		return fmt.Errorf("preprocessing %q, want %s", name, Usage)
	}
	if err != nil {
		return fmt.Errorf("preprocessing %s=%s: %w", name, value, err)
	}
	return nil
}

func formatColors(c [3]float64) string {
	var parts [3]string
	for i, v := range c {
		parts[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strings.Join(parts[:], "/")
}

// parseColors reads one number for each color, or one for all.
func parseColors(text string) (c [3]float64, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 1 && len(parts) != len(c) {
		return c, fmt.Errorf("%d numbers, want one for each color or one for all", len(parts))
	}
	for i := range c {
		if c[i], err = strconv.ParseFloat(parts[min(i, len(parts)-1)], 64); err != nil {
			return c, err
		}
	}
	return c, nil
}
