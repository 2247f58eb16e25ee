package recognize

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// depth names a residual network by the blocks of its layers.
type depth struct {
	blocks     [4]int
	bottleneck bool // three convolutions a block, 1x1, 3x3 and 1x1, instead of two of 3x3
	name       string
}

var depths = []depth{
	{[4]int{1, 1, 1, 1}, false, "ResNet-10"},
	{[4]int{2, 2, 2, 2}, false, "ResNet-18"},
	{[4]int{3, 4, 6, 3}, false, "ResNet-34"},
	{[4]int{1, 1, 1, 1}, true, "ResNet-14"},
	{[4]int{2, 2, 2, 2}, true, "ResNet-26"},
	{[4]int{3, 4, 6, 3}, true, "ResNet-50"},
	{[4]int{3, 4, 23, 3}, true, "ResNet-101"},
	{[4]int{3, 8, 36, 3}, true, "ResNet-152"},
	{[4]int{3, 24, 36, 3}, true, "ResNet-200"},
}

// variant is a residual network that departs from ResNet-18 in another way than depth. The first that fits names it.
type variant struct {
	is   string // %s is the network by its depth
	also string // what it is about, for people
	when func(f *finding, bottleneck bool) bool
}

var variants = []variant{
	{"%s-D", "resnet18d of timm: three convolutions in the stem, or average pooling in the shortcuts", func(f *finding, _ bool) bool {
		return f.any(`^(?:conv1|stem)\.(?:0|3|6)\.weight$`) || f.any(`^stem\.conv[23]\.weight$`) || f.rank("layer2.0.downsample.1.weight", 4)
	}},
	{"SE-%s", "squeeze-and-excitation in its blocks", func(f *finding, _ bool) bool { return f.any(`^layer\d+\.\d+\.(?:se|se_module)\.`) }},
	{"ResNeSt", "split attention in its blocks", func(f *finding, _ bool) bool { return f.any(`^layer\d+\.\d+\.conv2\.(?:fc1|conv)\.`) }},
	{"Res2Net", "several convolutions at each block's center", func(f *finding, _ bool) bool { return f.any(`^layer\d+\.\d+\.convs\.`) }},
	{"%s with attention", "attention in its blocks", func(f *finding, _ bool) bool {
		return f.any(`^layer\d+\.\d+\.(?:ca|sa|eca|cbam|bam|attn|attention)\.`)
	}},
	{"Wide %s", "wide_resnet: twice the channels inside its blocks", func(f *finding, bottleneck bool) bool {
		s := f.backbone["layer1.0.conv2.weight"].Shape
		return bottleneck && len(s) == 4 && s[0] > 64 && s[1] == s[0]
	}},
	{"ResNeXt, a %s with grouped convolutions", "resnext", func(f *finding, bottleneck bool) bool {
		s := f.backbone["layer1.0.conv2.weight"].Shape
		return bottleneck && len(s) == 4 && s[1] < s[0]
	}},
	{"PreAct %s", "batch norm before each convolution instead of after it", func(f *finding, _ bool) bool {
		return !f.any(`^bn1\.`) && f.any(`^layer\d+\.\d+\.bn1\.`) && !f.any(`^layer\d+\.\d+\.downsample\.1\.`)
	}},
	{"%s with a CIFAR stem", "a CIFAR ResNet, such as kuangliu's: 3x3 conv1 instead of 7x7", func(f *finding, _ bool) bool {
		s := f.backbone["conv1.weight"].Shape
		return len(s) == 4 && s[2] == 3 && s[3] == 3
	}},
	{"%s with GroupNorm", "its norms have no running means: GroupNorm or InstanceNorm, ResNet-18 has BatchNorm", func(f *finding, _ bool) bool {
		return f.any(`^layer\d+\.\d+\.bn1\.weight$`) && !f.any(`\.running_mean$`)
	}},
	{"%s with GroupNorm", "its norms are called gn", func(f *finding, _ bool) bool { return f.any(`^layer\d+\.\d+\.gn1\.`) }},
	{"ResNet-B or a network of four stages with shortcuts in the first", "downsample_in_first_stage of transformers", func(f *finding, bottleneck bool) bool {
		return !bottleneck && f.any(`^layer1\.0\.downsample\.`)
	}},
}

// any reports whether a name matches a pattern.
func (f *finding) any(pattern string) bool {
	return slices.ContainsFunc(f.names(), regexp.MustCompile(pattern).MatchString)
}

// rank reports whether a tensor of the backbone has so many dimensions.
func (f *finding) rank(name string, dims int) bool { return len(f.backbone[name].Shape) == dims }

// relative returns an error that names the residual network if it is another one than ResNet-18, or one for other pictures.
func (f *finding) relative() error {
	counts, others := f.blocks()
	bottleneck := f.any(`^layer\d+\.\d+\.conv3\.weight$`)
	name := fmt.Sprintf("residual network with %d, %d, %d and %d blocks", counts[0], counts[1], counts[2], counts[3])
	known := false
	if !others {
		for _, d := range depths {
			if d.blocks == counts && d.bottleneck == bottleneck {
				name, known = d.name, true
			}
		}
	}
	for _, v := range variants {
		if v.when(f, bottleneck) {
			is := v.is
			if strings.Contains(is, "%s") {
				is = fmt.Sprintf(is, name)
			}
			return fmt.Errorf("this is %s (%s), not a ResNet-18 as torchvision defines it: %s", is, v.also, otherwise)
		}
	}
	if known && name != "ResNet-18" {
		return fmt.Errorf("this is %s (%s), not ResNet-18: %s", name, strings.ToLower(strings.ReplaceAll(name, "-", "")), otherwise)
	}
	stem := f.backbone["conv1.weight"].Shape
	switch {
	case len(stem) == 4 && stem[1] != 3 && stem[1] > 0:
		return fmt.Errorf("conv1.weight expects %s; pictures have 3: train the model on RGB pictures", channels(stem[1]))
	case len(stem) == 4 && stem[0] != 64:
		return fmt.Errorf("this is %s with %s after its first convolution, ResNet-18 has 64: %s", name, channels(stem[0]), otherwise)
	case !known:
		return fmt.Errorf("this is a %s, not ResNet-18 with 2, 2, 2 and 2: %s", name, otherwise)
	}
	return nil
}

func channels(n int) string {
	if n == 1 {
		return "1 channel"
	}
	return fmt.Sprintf("%d channels", n)
}
