package recognize

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// optimizerState matches the tensors of optimizers, which lie beside the model in checkpoints of training.
var optimizerState = regexp.MustCompile(`(?:^|\.)(?:optims?|optimizers?|optim(?:izer)?_states?(?:_dict)?|opt|opt_states?|lr_schedulers?|schedulers?|(?:grad_)?scaler)\.|` +
	`(?:^|\.)(?:momentum_buffer|exp_avg|exp_avg_sq|max_exp_avg_sq|square_avg|step)$`)

// family is a kind of network by what only its tensors are called. All patterns must match some name, those with a shape some
// tensor of that shape; 0 in a shape is any number.
type family struct {
	is       string
	patterns []pattern
}

type pattern struct {
	name  *regexp.Regexp
	shape []int // nil for any
}

func named(expr string, shape ...int) pattern { return pattern{regexp.MustCompile(expr), shape} }

// families are the networks that people take for ResNet-18, or give by mistake. The first that matches names the file, so
// those with more patterns stand before their relatives.
var families = []family{
	{"a LoRA adapter, the difference to another model's weights", []pattern{named(`lora_[AB]\.|lora_(?:up|down)\.`)}},
	{"a language model", []pattern{named(`(?:^|\.)(?:word_embeddings|lm_head|embed_tokens|wte)\.weight$`)}},
	{"CLIP, a model of pictures and texts", []pattern{named(`(?:^|\.)(?:text_model|token_embedding|text_projection)`)}},
	{"a diffusion model", []pattern{named(`(?:^|\.)(?:down_blocks|diffusion_model|input_blocks)\.\d`)}},
	{"a segmentation network (U-Net, DeepLab or FCN)", []pattern{named(`(?:^|\.)(?:decoder|segmentation_head|decode_head|aux_classifier|up_?blocks|upconv\d?|up\d)\.`), named(`weight$`, 0, 0, 3, 3)}},
	{"a detector (R-CNN or RetinaNet)", []pattern{named(`(?:^|\.)(?:rpn|roi_heads|fpn|fpn_lateral2|bbox_head)\.`)}},
	{"SqueezeNet (squeezenet)", []pattern{named(`\.squeeze\.weight$`), named(`\.expand(?:1x1|3x3)\.`)}},
	{"MobileNetV2 (mobilenet_v2)", []pattern{named(`(?:^|\.)features\.1\.conv\.0\.0\.weight$`, 0, 1, 3, 3)}},
	{"MobileNetV3 (mobilenet_v3)", []pattern{named(`(?:^|\.)features\.\d+\.block\.0\.0\.weight$`)}},
	{"MobileNet or EfficientNet in timm's names", []pattern{named(`(?:^|\.)conv_stem\.weight$`), named(`(?:^|\.)blocks\.\d+\.\d+\.conv_(?:dw|pw|pwl)\.`)}},
	{"MobileNetV1 or another network of depthwise convolutions (mobilenet)", []pattern{named(`(?:^|\.)(?:model|features)\.1\.0\.weight$`, 32, 1, 3, 3)}},
	{"EfficientNetV2 (efficientnet_v2)", []pattern{named(`(?:^|\.)features\.0\.0\.weight$`, 24, 3, 3, 3), named(`(?:^|\.)features\.\d+\.\d+\.block\.`)}},
	{"EfficientNet (efficientnet)", []pattern{named(`(?:^|\.)features\.\d+\.\d+\.block\.\d+\.fc1\.`)}},
	{"EfficientNet (efficientnet)", []pattern{named(`(?:^|\.)_blocks\.\d+\._depthwise_conv\.`)}},
	{"EfficientNet (efficientnet)", []pattern{named(`(?:^|\.)encoder\.blocks\.\d+\.depthwise_conv\.`)}},
	{"DenseNet-121 (densenet121)", []pattern{named(`denseblock4\.denselayer16\.`), named(`denseblock3\.denselayer24\.`), named(`classifier\.weight$`, 0, 1024)}},
	{"DenseNet (densenet)", []pattern{named(`denseblock1\.denselayer1\.`)}},
	{"ShuffleNetV2 (shufflenet_v2)", []pattern{named(`(?:^|\.)stage2\.0\.branch[12]\.`)}},
	{"ConvNeXt (convnext)", []pattern{named(`(?:^|\.)features\.1\.0\.layer_scale$`)}},
	{"ConvNeXt (convnext)", []pattern{named(`(?:^|\.)stages\.0\.(?:blocks|layers)?\.?\d+\.(?:conv_dw|dwconv|layer_scale_parameter|gamma)`)}},
	{"VGG (vgg)", []pattern{named(`(?:^|\.)features\.0\.weight$`, 64, 3, 3, 3), named(`(?:^|\.)features\.\d+\.weight$`, 512, 512, 3, 3)}},
	{"AlexNet (alexnet)", []pattern{named(`(?:^|\.)features\.0\.weight$`, 0, 3, 11, 11)}},
	{"Inception (inception_v3)", []pattern{named(`(?:^|\.)(?:Mixed_5b|mixed_5b|Conv2d_1a_3x3)\.`)}},
	{"GoogLeNet (googlenet)", []pattern{named(`(?:^|\.)inception3a\.`)}},
	{"Swin Transformer (swin)", []pattern{named(`(?:relative_position_bias_table$|\.cpb_mlp\.)`)}},
	{"a Vision Transformer (ViT)", []pattern{named(`(?:^|\.)(?:cls_token|class_token)$`)}},
	{"a Vision Transformer (ViT)", []pattern{named(`(?:^|\.)(?:pos_embed|pos_embedding|position_embeddings)$`)}},
	{"a transformer (ViT)", []pattern{named(`\.(?:attn\.qkv|self_attention\.in_proj|attention\.attention\.query)`)}},
	{"a YOLO classifier (yolo-cls)", []pattern{named(`(?:^|\.)model\.\d+\.cv1\.conv\.weight$`), named(`(?:^|\.)model\.\d+\.linear\.weight$`)}},
	{"YOLO (yolo), a detector", []pattern{named(`(?:^|\.)model\.\d+\.(?:cv1|conv)\.`), named(`(?:^|\.)model\.\d+\.(?:m|cv1|cv2|dfl)\.`)}},
	{"RegNet (regnet)", []pattern{named(`(?:^|\.)trunk_output\.block1\.`)}},
	{"MNASNet (mnasnet)", []pattern{named(`(?:^|\.)layers\.\d+\.\d+\.layers\.\d+\.weight$`)}},
	{"Xception (xception)", []pattern{named(`(?:^|\.)block1\.rep\.`)}},
	{"HRNet (hrnet)", []pattern{named(`(?:^|\.)transition1\.`), named(`(?:^|\.)stage2\.`)}},
	{"BiT, a ResNet with norms before its convolutions (resnetv2)", []pattern{named(`(?:^|\.)(?:block1\.unit01|stages\.0\.blocks\.0)\.(?:gn1|norm1)\.`)}},
	{"RegNet or another network in timm's names", []pattern{named(`(?:^|\.)(?:s1|stages)\.(?:b1|0\.blocks\.0)\.`)}},
	{"an int8 or another quantized model", []pattern{named(`(?:^|\.)(?:_packed_params|zero_point|qweight)`)}},
}

// matches reports whether all patterns of a family are found.
func (f *family) matches(tensors map[string]raw.Lazy) bool {
	for _, p := range f.patterns {
		found := false
		for name, t := range tensors {
			if p.fits(t.Shape) && p.name.MatchString(name) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// fits reports whether a shape is the pattern's.
func (p *pattern) fits(shape []int) bool {
	if p.shape == nil {
		return true
	}
	if len(shape) != len(p.shape) {
		return false
	}
	for i, d := range p.shape {
		if d != 0 && d != shape[i] {
			return false
		}
	}
	return true
}

// family names the network that the tensors outside of the backbone are of, "" if none is known.
func (f *finding) family() string {
	for i := range families {
		if families[i].matches(f.rest) {
			return families[i].is
		}
	}
	return ""
}

// larger returns the error for a network that has a ResNet-18 as a part, nil if none is known.
func (f *finding) larger() error {
	if is := f.family(); is != "" {
		return fmt.Errorf("this is %s with a ResNet-18 inside, not a ResNet-18: %s", is, otherwise)
	}
	return nil
}

// foreign returns the error for tensors that are no residual network.
func (f *finding) foreign() error {
	if is := f.family(); is != "" {
		return fmt.Errorf("this is %s, not a ResNet-18: %s", is, otherwise)
	}
	return fmt.Errorf("this is not a ResNet-18: of its 20 convolutions %d are found by name, among %d tensors such as %s; %s",
		f.likeness, len(f.rest), some(slices.Collect(maps.Keys(f.rest))), otherwise)
}
