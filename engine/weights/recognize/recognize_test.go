package recognize

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// naming is a column of testdata/resnet18.txt.
type naming int

const (
	torchvision naming = iota
	_
	transformers
	detectron2
	sequential
)

// unread is a tensor that nobody may read.
func unread(shape ...int) raw.Lazy {
	return raw.Lazy{Shape: shape, Float: true, Read: func() ([]float32, error) { panic("read for its name only") }}
}

// tensors returns those of a ResNet-18 with 6 classes, unread.
func tensors(tb testing.TB, scheme naming, prefix string) map[string]raw.Lazy {
	tb.Helper()
	text, err := os.ReadFile("testdata/resnet18.txt")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]raw.Lazy{}
	for line := range strings.Lines(string(text)) {
		columns := strings.Fields(line)
		if columns[0] == "#" || columns[scheme] == "-" {
			continue
		}
		t := unread()
		if columns[1] == "-" {
			t.Float = false
		} else {
			for d := range strings.SplitSeq(columns[1], ",") {
				n, err := strconv.Atoi(d)
				if err != nil {
					tb.Fatal(err)
				}
				t.Shape = append(t.Shape, n)
			}
		}
		all[prefix+columns[scheme]] = t
	}
	return all
}

// change is what a test does to the tensors of a network. The key "-x" removes x, "a>b" renames all that begins with a.
type change map[string]raw.Lazy

func (c change) apply(all map[string]raw.Lazy) {
	for name := range c {
		if name, ok := strings.CutPrefix(name, "-"); ok {
			maps.DeleteFunc(all, func(n string, _ raw.Lazy) bool { return n == name || strings.HasPrefix(n, name+".") })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		from, to, ok := strings.Cut(name, ">")
		if !ok {
			continue
		}
		for n, t := range maps.Clone(all) {
			if rest, ok := strings.CutPrefix(n, from); ok {
				delete(all, n)
				all[to+rest] = t
			}
		}
	}
	for name, t := range c {
		if !strings.HasPrefix(name, "-") && !strings.Contains(name, ">") {
			all[name] = t
		}
	}
}

var none = raw.Lazy{}

func integer(shape ...int) raw.Lazy { return raw.Lazy{Shape: shape} }

// merge joins the tensors of several networks.
func merge(all ...map[string]raw.Lazy) map[string]raw.Lazy {
	out := map[string]raw.Lazy{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// batchNorm is the tensors of a batch norm.
func batchNorm(name string, n int) change {
	return change{name + ".weight": unread(n), name + ".bias": unread(n), name + ".running_mean": unread(n), name + ".running_var": unread(n),
		name + ".num_batches_tracked": integer()}
}

func both(changes ...change) change {
	out := change{}
	for _, c := range changes {
		maps.Copy(out, c)
	}
	return out
}

var linear6 = spec.Linear(6)

func embedding() spec.Head { return spec.Head{Pool: spec.Average, Activation: spec.None} }

func layers(classes int, relu ...bool) spec.Head {
	return spec.Head{Pool: spec.Average, ReLU: relu, Classes: classes, Activation: spec.Softmax}
}

func concatenated(h spec.Head) spec.Head { h.Pool = spec.MaxAverage; return h }

func active(h spec.Head, a spec.Activation) spec.Head { h.Activation = a; return h }

// TestNames checks every way to name a ResNet-18 and its head. No number is read.
func TestNames(t *testing.T) {
	t.Parallel()
	tv := func(prefix string, c ...change) map[string]raw.Lazy {
		all := tensors(t, torchvision, prefix)
		both(c...).apply(all)
		return all
	}
	seq := func(prefix string, c ...change) map[string]raw.Lazy {
		all := tensors(t, sequential, prefix)
		both(c...).apply(all)
		return all
	}
	fastai := both(batchNorm("1.2", 1024), change{"1.4.weight": unread(512, 1024)}, batchNorm("1.6", 512), change{"1.8.weight": unread(6, 512)})
	noFC := change{"-fc": none}
	for name, test := range map[string]struct {
		tensors map[string]raw.Lazy
		head    spec.Head
		note    string // part of a note; "" for no notes
	}{
		"torchvision":                {tv(""), linear6, ""},
		"DataParallel":               {tv("module."), linear6, ""},
		"Lightning":                  {tv("model.", change{"criterion.weight": unread(6), "train_acc.tp": unread(6), "val_metrics.f1.x": unread(2, 3), "center_loss.centers": unread(6, 512)}), linear6, ""},
		"Lightning net":              {tv("net."), linear6, ""},
		"torch.compile":              {tv("_orig_mod."), linear6, ""},
		"compiled and parallel":      {tv("module._orig_mod.", change{"n_averaged": integer()}), linear6, ""},
		"any prefix":                 {tv("learner.my_model2."), linear6, ""},
		"timm wrapper":               {tv("timm_model."), linear6, ""},
		"without batches tracked":    {tv("", change{"-bn1.num_batches_tracked": none}), linear6, ""},
		"transformers":               {tensors(t, transformers, ""), linear6, ""},
		"transformers, wrapped":      {tensors(t, transformers, "module."), linear6, ""},
		"Detectron2":                 {tensors(t, detectron2, ""), linear6, "red first"},
		"Detectron2 backbone":        {tensors(t, detectron2, "backbone.bottom_up."), linear6, "red first"},
		"mmpretrain":                 {tv("backbone.", change{"-backbone.fc": none, "head.fc.weight": unread(6, 512), "head.fc.bias": unread(6)}), linear6, ""},
		"features and classifier":    {seq("features.", change{"classifier.weight": unread(6, 512), "classifier.bias": unread(6)}), linear6, ""},
		"Sequential with Linear 9":   {seq("", change{"9.weight": unread(6, 512), "9.bias": unread(6)}), linear6, ""},
		"Sequential(body, Linear)":   {tv("0.", change{"-0.fc": none, "1.weight": unread(6, 512), "1.bias": unread(6)}), linear6, ""},
		"layer0":                     {tv("", change{"conv1>layer0.0": none, "bn1>layer0.1": none}), linear6, ""},
		"shortcut and linear":        {tv("", change{"layer2.0.downsample>layer2.0.shortcut": none, "fc>linear": none}), linear6, ""},
		"fastai":                     {seq("0.", fastai), concatenated(layers(6, true, false)), ""},
		"fastai, wrapped":            {prefixed("module.", seq("0.", fastai)), concatenated(layers(6, true, false)), ""},
		"fastai, one layer":          {seq("0.", batchNorm("1.2", 1024), change{"1.4.weight": unread(6, 1024)}), concatenated(layers(6, false)), ""},
		"dropout":                    {tv("", noFC, change{"fc.1.weight": unread(6, 512), "fc.1.bias": unread(6)}), linear6, ""},
		"no bias":                    {tv("", change{"-fc.bias": none}), linear6, ""},
		"two layers":                 {tv("", noFC, mlp("fc.0", "fc.3", 64)), layers(6, true, false), "ReLU is assumed between fc.0 and fc.3"},
		"no room for ReLU":           {tv("", noFC, mlp("fc.0", "fc.1", 64)), layers(6, false, false), ""},
		"ten modules":                {tv("", noFC, mlp("fc.2", "fc.10", 64)), layers(6, true, false), "between fc.2 and fc.10"},
		"named layers":               {tv("", noFC, mlp("fc.fc1", "fc.fc2", 64)), layers(6, true, false), "between fc.fc1 and fc.fc2"},
		"names out of order":         {tv("", noFC, mlp("fc.hidden", "fc.a_last", 64)), layers(6, true, false), "between fc.hidden and fc.a_last"},
		"beside the backbone":        {tv("backbone.", change{"-backbone.fc": none}, mlp("fc1", "fc2", 64)), layers(6, true, false), "between fc1 and fc2"},
		"fc of ImageNet not removed": {tv("model.", change{"model.fc.weight": unread(1000, 512), "model.fc.bias": unread(1000), "out.weight": unread(6, 512)}), linear6, "model.fc does not fit"},
		"a layer after fc":           {tv("model.", change{"model.fc.weight": unread(1000, 512), "model.fc.bias": unread(1000), "out.weight": unread(6, 1000)}), layers(6, true, false), "ReLU is assumed between model.fc and out"},
		"a layer after all":          {tv("0.", change{"0.fc.weight": unread(1000, 512), "0.fc.bias": unread(1000), "1.weight": unread(6, 1000)}), layers(6, false, false), ""},
		"ReLU after all":             {tv("0.", change{"0.fc.weight": unread(1000, 512), "0.fc.bias": unread(1000), "2.weight": unread(6, 1000)}), layers(6, true, false), "between 0.fc and 2"},
		"layers after all":           {tv("0.", change{"0.fc.weight": unread(1000, 512), "0.fc.bias": unread(1000), "1.1.weight": unread(6, 1000)}), layers(6, true, false), "between 0.fc and 1.1"},
		"norm, then ReLU":            {tv("", noFC, mlp("fc.0", "fc.3", 64), batchNorm("fc.1", 64)), layers(6, true, false), "ReLU is assumed"},
		"named norm":                 {tv("net.", change{"-net.fc": none}, mlp("fc1", "fc2", 512), batchNorm("bn1", 512)), layers(6, true, false), "between fc1 and fc2"},
		"convolution as head":        {tv("", change{"fc.weight": unread(6, 512, 1, 1)}), linear6, ""},
		"timm catavgmax":             {tv("", change{"fc.weight": unread(6, 1024)}), concatenated(linear6), "average, then the maximum"},
		"one output":                 {tv("", change{"fc.weight": unread(1, 512), "fc.bias": unread(1)}), active(layers(1, false), spec.None), "--activation sigmoid"},
		"no head":                    {tv("", noFC), embedding(), "features only"},
		"MoCo": {merge(tv("module.encoder_q.", change{"-module.encoder_q.fc": none}, mlpOut("module.encoder_q.fc.0", "module.encoder_q.fc.2", 512, 128)),
			tv("module.encoder_k."), change{"module.queue": unread(128, 65536), "module.queue_ptr": integer(1)}), embedding(), "module.encoder_q. is used"},
		"MoCo v1":         {tv("module.encoder_q.", change{"module.encoder_q.fc.weight": unread(128, 512), "module.encoder_q.fc.bias": unread(128)}), embedding(), "projection"},
		"DINO":            {tv("backbone.", change{"-backbone.fc": none, "head.mlp.0.weight": unread(2048, 512), "head.last_layer.weight_v": unread(64, 256)}), embedding(), "projection"},
		"teacher first":   {merge(tv("student.module."), tv("teacher.")), linear6, "under teacher. is used"},
		"SimCLR":          {tv("backbone.", change{"-backbone.fc": none}, mlpOut("backbone.fc.0", "backbone.fc.2", 512, 128)), embedding(), "projection"},
		"EMA inside":      {merge(tv(""), tv("ema.module.")), linear6, "under ema.module. is used"},
		"folded":          {folded(tv("")), linear6, ""},
		"bias and norm":   {tv("", change{"conv1.bias": unread(64)}), linear6, ""},
		"with optimizer":  {tv("", change{"optimizer.state.0.exp_avg": unread(64, 3, 7, 7)}), linear6, ""},
		"normalizing":     {tv("net.", change{"normalize.mean": unread(1, 3, 1, 1), "normalize.std": unread(1, 3, 1, 1)}), linear6, ""},
		"our own file":    {tv("", noFC, mlp("fc.0", "fc.1", 64)), layers(6, false, false), ""},
		"no metric":       {tv("net.", change{"-net.fc": none, "accident_classifier.weight": unread(6, 512)}), linear6, ""},
		"distilled class": {tv("teacher."), linear6, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := ResNet18(test.tensors, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprint(r.Head), fmt.Sprint(test.head); got != want {
				t.Errorf("head %s, want %s", got, want)
			}
			if err := r.Head.Validate(); err != nil {
				t.Error(err)
			}
			notes := strings.Join(r.Notes, "\n")
			if test.note == "" && notes != "" || !strings.Contains(notes, test.note) {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
			checkCanonical(t, r)
			if (r.Mean != nil) != (name == "normalizing") || (r.Deviation != nil) != (name == "normalizing") {
				t.Errorf("mean %v, deviation %v", r.Mean, r.Deviation)
			}
		})
	}
}

// mlp is a head of two layers for 6 classes.
func mlp(first, second string, hidden int) change { return mlpOut(first, second, hidden, 6) }

func mlpOut(first, second string, hidden, out int) change {
	return change{first + ".weight": unread(hidden, 512), first + ".bias": unread(hidden), second + ".weight": unread(out, hidden), second + ".bias": unread(out)}
}

func prefixed(prefix string, all map[string]raw.Lazy) map[string]raw.Lazy {
	out := map[string]raw.Lazy{}
	for name, t := range all {
		out[prefix+name] = t
	}
	return out
}

// folded replaces batch norms by biases of the convolutions.
func folded(all map[string]raw.Lazy) map[string]raw.Lazy {
	out := map[string]raw.Lazy{}
	for name, t := range all {
		switch {
		case len(t.Shape) == 4:
			out[name] = t
			out[strings.TrimSuffix(name, "weight")+"bias"] = unread(t.Shape[0])
		case strings.HasPrefix(name, "fc."):
			out[name] = t
		}
	}
	return out
}

// checkCanonical checks that a result has exactly torchvision's tensors, in their shapes, and a head that fits.
func checkCanonical(t *testing.T, r Result) {
	t.Helper()
	want := tensors(t, torchvision, "")
	got := maps.Clone(r.Tensors)
	_, isFolded := got["conv1.bias"]
	if isFolded {
		want = folded(want)
	}
	for name, w := range want {
		if !w.Float || strings.HasPrefix(name, "fc.") {
			continue
		}
		if g, ok := got[name]; !ok || !slices.Equal(g.Shape, w.Shape) || !g.Float {
			t.Errorf("%s has shape %v, want %v", name, g.Shape, w.Shape)
		}
		delete(got, name)
	}
	in := spec.Features
	if r.Head.Pool == spec.MaxAverage {
		in *= 2
	}
	for i := range r.Head.ReLU {
		name := "fc"
		if len(r.Head.ReLU) > 1 {
			name = fmt.Sprintf("fc.%d", i)
		}
		w := got[name+".weight"]
		if len(w.Shape) != 2 || w.Shape[1] != in {
			t.Fatalf("%s.weight has shape %v, want %d inputs", name, w.Shape, in)
		}
		in = w.Shape[0]
		if b, ok := got[name+".bias"]; ok && !slices.Equal(b.Shape, []int{in}) {
			t.Errorf("%s.bias has shape %v, want [%d]", name, b.Shape, in)
		}
		delete(got, name+".weight")
		delete(got, name+".bias")
	}
	if len(r.Head.ReLU) > 0 && in != r.Head.Classes {
		t.Errorf("%d outputs, want %d", in, r.Head.Classes)
	}
	if len(got) > 0 {
		t.Errorf("too many tensors: %v", slices.Sorted(maps.Keys(got)))
	}
}

// blocks adds blocks to a layer, as they are in deeper networks.
func blocks(counts ...int) change {
	c := change{}
	for i, n := range counts {
		width := 64 << i
		for b := 2; b < n; b++ {
			at := fmt.Sprintf("layer%d.%d.", i+1, b)
			c = both(c, change{at + "conv1.weight": unread(width, width, 3, 3), at + "conv2.weight": unread(width, width, 3, 3)},
				batchNorm(at+"bn1", width), batchNorm(at+"bn2", width))
		}
	}
	return c
}

// bottlenecks makes all blocks those of three convolutions.
func bottlenecks(width, groups int, counts ...int) change {
	c := change{}
	for i, n := range counts {
		for b := range n {
			at := fmt.Sprintf("layer%d.%d.", i+1, b)
			w := width << i
			c = both(c, change{at + "conv1.weight": unread(w, 256, 1, 1), at + "conv2.weight": unread(w, w/groups, 3, 3), at + "conv3.weight": unread(256<<i, w, 1, 1)},
				batchNorm(at+"bn1", w), batchNorm(at+"bn2", w), batchNorm(at+"bn3", 256<<i))
		}
	}
	return c
}

// TestRefusals checks that everything else is refused by its name.
func TestRefusals(t *testing.T) {
	t.Parallel()
	without := change{} // running means and variances
	for name := range tensors(t, torchvision, "") {
		if strings.HasSuffix(name, "running_mean") || strings.HasSuffix(name, "running_var") {
			without["-"+name] = none
		}
	}
	for name, test := range map[string]struct {
		scheme  naming
		prefix  string
		change  change
		wrong   string
		foreign bool // nothing of ResNet-18 is there
	}{
		"nothing":          {change: change{}, wrong: "holds no model", foreign: true},
		"integers":         {change: change{"a": integer(3)}, wrong: "holds no model", foreign: true},
		"an optimizer":     {change: change{"optimizer.state.0.momentum_buffer": unread(4), "epoch": integer()}, wrong: "only the state of an optimizer", foreign: true},
		"anything":         {change: change{"a.weight": unread(3), "b": unread(4)}, wrong: "not a ResNet-18", foreign: true},
		"missing":          {change: change{"-layer3.1.bn2.running_var": none}, wrong: "layer3.1.bn2.running_var is missing"},
		"missing, wrapped": {prefix: "module.", change: change{"-module.layer3.1.bn2.running_var": none}, wrong: "layer3.1.bn2.running_var is missing (under module.)"},
		"missing, renamed": {scheme: transformers, change: change{"-resnet.encoder.stages.2.layers.1.layer.1.normalization.running_var": none}, wrong: "layer3.1.bn2.running_var is missing (torchvision's name"},
		"missing stem":     {change: change{"-conv1": none}, wrong: "conv1.weight is missing"},
		"missing norms":    {change: change{"-layer2.0.downsample.1": none, "-layer3.0.downsample.1": none, "-layer4.0.downsample.1": none}, wrong: "layer2.0.downsample.1.weight is missing"},
		"ResNet-10":        {change: change{"-layer1.1": none, "-layer2.1": none, "-layer3.1": none, "-layer4.1": none}, wrong: "ResNet-10 (resnet10)"},
		"ResNet-14":        {change: both(change{"-layer1.1": none, "-layer2.1": none, "-layer3.1": none, "-layer4.1": none}, bottlenecks(64, 1, 1, 1, 1, 1)), wrong: "ResNet-14"},
		"ResNet-200":       {change: bottlenecks(64, 1, 3, 24, 36, 3), wrong: "ResNet-200"},
		"missing block":    {change: change{"-layer4.1": none}, wrong: "2, 2, 2 and 1 blocks"},
		"wrong shape":      {change: change{"layer2.0.conv1.weight": unread(128, 64, 5, 5)}, wrong: "layer2.0.conv1.weight has shape [128 64 5 5]"},
		"quantized":        {change: change{"layer2.0.conv1.weight": integer(128, 64, 3, 3)}, wrong: "quantized"},
		"more in a block":  {change: change{"layer2.0.conv1.filter": unread(3, 3)}, wrong: "layer2.0.conv1.filter as well"},
		"gray":             {change: change{"conv1.weight": unread(64, 1, 7, 7)}, wrong: "expects 1 channel;"},
		"four channels":    {change: change{"conv1.weight": unread(64, 4, 7, 7)}, wrong: "expects 4 channels"},
		"narrow":           {change: change{"conv1.weight": unread(32, 3, 7, 7)}, wrong: "32 channels"},
		"CIFAR stem":       {change: change{"conv1.weight": unread(64, 3, 3, 3)}, wrong: "CIFAR stem"},
		"kuangliu":         {change: change{"conv1.weight": unread(64, 3, 3, 3), "fc>linear": none, "layer2.0.downsample>layer2.0.shortcut": none}, wrong: "CIFAR"},
		"PreAct":           {change: change{"-bn1": none, "-layer2.0.downsample.1": none, "-layer3.0.downsample.1": none, "-layer4.0.downsample.1": none}, wrong: "PreAct ResNet-18"},
		"resnet18d":        {change: change{"-conv1": none, "conv1.0.weight": unread(32, 3, 3, 3), "conv1.3.weight": unread(32, 32, 3, 3), "conv1.6.weight": unread(64, 32, 3, 3)}, wrong: "ResNet-18-D (resnet18d"},
		"SE":               {change: change{"layer1.0.se.fc1.weight": unread(4, 64)}, wrong: "SE-ResNet-18"},
		"CBAM":             {change: change{"layer1.0.ca.fc1.weight": unread(4, 64)}, wrong: "attention"},
		"GroupNorm":        {change: without, wrong: "GroupNorm"},
		"ResNet-34":        {change: blocks(3, 4, 6, 3), wrong: "ResNet-34"},
		"ResNet-50":        {change: bottlenecks(64, 1, 3, 4, 6, 3), wrong: "ResNet-50"},
		"ResNet-101":       {change: bottlenecks(64, 1, 3, 4, 23, 3), wrong: "ResNet-101"},
		"ResNet-152":       {change: bottlenecks(64, 1, 3, 8, 36, 3), wrong: "ResNet-152"},
		"wide":             {change: bottlenecks(128, 1, 3, 4, 6, 3), wrong: "Wide ResNet-50"},
		"ResNeXt":          {change: bottlenecks(128, 32, 3, 4, 6, 3), wrong: "ResNeXt, a ResNet-50"},
		"first shortcut":   {scheme: transformers, change: change{"resnet.encoder.stages.0.layers.0.shortcut.convolution.weight": unread(64, 64, 1, 1)}, wrong: "downsample_in_first_stage"},

		"segmentation": {prefix: "backbone.", change: change{"-backbone.fc": none, "decoder.0.weight": unread(256, 512, 3, 3)}, wrong: "a segmentation network (U-Net, DeepLab or FCN) with a ResNet-18 inside"},
		"unknown part": {change: change{"extra.0.weight": unread(256, 512, 3, 3)}, wrong: "but also extra.0.weight"},
		"two heads": {change: change{"-fc": none, "age.weight": unread(4, 512), "age.bias": unread(4), "sex.weight": unread(2, 512), "sex.bias": unread(2)},
			wrong: "several heads"},
		"other features": {change: change{"fc.weight": unread(6, 25088)}, wrong: "takes the 512 features"},
		"too many":       {change: change{"fc.weight": unread(21841, 512), "fc.bias": unread(21841)}, wrong: "21841 classes, want at most 2000"},
		"norm only":      {change: both(change{"-fc": none}, batchNorm("neck", 512)), wrong: "no fully connected layer"},
		"LayerNorm":      {change: change{"fc.0.weight": unread(512), "fc.0.bias": unread(512)}, wrong: "but also fc.0.bias"},
		"bias too long":  {change: change{"fc.bias": unread(7)}, wrong: "but also fc.bias"},
		"two orders": {change: change{"-fc": none, "h.a.weight": unread(6, 512), "h.b.weight": unread(512, 512), "h.c.weight": unread(512, 512)},
			wrong: "cannot be told"},
		"many layers": {change: change{"-fc": none, "h.0.weight": unread(512, 512), "h.1.weight": unread(512, 512), "h.2.weight": unread(512, 512),
			"h.3.weight": unread(512, 512), "h.4.weight": unread(512, 512), "h.5.weight": unread(512, 512), "h.6.weight": unread(6, 512)}, wrong: "at most 6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := map[string]raw.Lazy{}
			if !test.foreign {
				all = tensors(t, max(test.scheme, torchvision), test.prefix)
			}
			test.change.apply(all)
			_, err := ResNet18(all, nil)
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), test.wrong) {
				t.Fatalf("error %v, want one with %q", err, test.wrong)
			}
			if (refusal.Likeness >= alike) == test.foreign {
				t.Errorf("likeness %d, foreign %t", refusal.Likeness, test.foreign)
			}
		})
	}
}

// TestFamilies checks the names of other architectures by a few of their tensors.
func TestFamilies(t *testing.T) {
	t.Parallel()
	for want, all := range map[string]change{
		"SqueezeNet":         {"features.0.weight": unread(64, 3, 3, 3), "features.3.squeeze.weight": unread(16, 64, 1, 1), "features.3.expand1x1.weight": unread(64, 16, 1, 1)},
		"MobileNetV2":        {"features.0.0.weight": unread(32, 3, 3, 3), "features.1.conv.0.0.weight": unread(32, 1, 3, 3)},
		"MobileNetV3":        {"features.1.block.0.0.weight": unread(16, 1, 3, 3), "features.1.block.1.fc1.weight": unread(8, 16, 1, 1)},
		"timm's names":       {"conv_stem.weight": unread(32, 3, 3, 3), "blocks.0.0.conv_dw.weight": unread(32, 1, 3, 3)},
		"MobileNetV1":        {"model.0.0.weight": unread(32, 3, 3, 3), "model.1.0.weight": unread(32, 1, 3, 3)},
		"EfficientNetV2":     {"features.0.0.weight": unread(24, 3, 3, 3), "features.1.0.block.0.0.weight": unread(24, 24, 3, 3)},
		"EfficientNet (":     {"features.0.0.weight": unread(32, 3, 3, 3), "features.1.0.block.1.fc1.weight": unread(8, 32, 1, 1)},
		"DenseNet-121":       {"features.denseblock1.denselayer1.norm1.weight": unread(64), "features.denseblock4.denselayer16.norm1.weight": unread(1), "features.denseblock3.denselayer24.norm1.weight": unread(1), "classifier.weight": unread(6, 1024)},
		"DenseNet (":         {"features.denseblock1.denselayer1.norm1.weight": unread(64)},
		"ShuffleNetV2":       {"stage2.0.branch1.0.weight": unread(24, 1, 3, 3)},
		"ConvNeXt":           {"features.1.0.layer_scale": unread(96, 1, 1), "features.1.0.block.0.weight": unread(96, 1, 7, 7)},
		"(convnext)":         {"stages.0.blocks.0.conv_dw.weight": unread(96, 1, 7, 7)},
		"VGG":                {"features.0.weight": unread(64, 3, 3, 3), "features.28.weight": unread(512, 512, 3, 3)},
		"AlexNet":            {"features.0.weight": unread(64, 3, 11, 11)},
		"Inception":          {"Mixed_5b.branch1x1.conv.weight": unread(64, 192, 1, 1)},
		"GoogLeNet":          {"inception3a.branch1.conv.weight": unread(64, 192, 1, 1)},
		"Swin":               {"features.1.0.attn.relative_position_bias_table": unread(169, 3)},
		"Vision Transformer": {"cls_token": unread(1, 1, 192), "pos_embed": unread(1, 197, 192)},
		"YOLO classifier":    {"model.1.conv.weight": unread(32, 16, 3, 3), "model.2.cv1.conv.weight": unread(32, 32, 1, 1), "model.9.linear.weight": unread(6, 1280)},
		"a detector":         {"model.1.conv.weight": unread(32, 16, 3, 3), "model.2.cv1.conv.weight": unread(32, 32, 1, 1), "model.22.dfl.conv.weight": unread(1, 16, 1, 1)},
		"RegNet":             {"trunk_output.block1.block1-0.proj.0.weight": unread(48, 32, 1, 1)},
		"language model":     {"bert.embeddings.word_embeddings.weight": unread(30522, 768)},
		"LoRA":               {"base.layers.0.lora_A.weight": unread(8, 768)},
		"CLIP":               {"text_model.encoder.layers.0.mlp.weight": unread(8, 8)},
		"diffusion":          {"down_blocks.0.resnets.0.conv1.weight": unread(8, 8, 3, 3)},
		"BiT":                {"stages.0.blocks.0.norm1.weight": unread(64), "stages.0.blocks.0.conv1.weight": unread(64, 64, 1, 1)},
	} {
		for _, prefix := range []string{"", "module."} {
			_, err := ResNet18(prefixed(prefix, all), nil)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "only ResNet-18 is served") {
				t.Errorf("%s: error %v", want, err)
			}
		}
	}
}

// TestModules checks what the classes of a whole model's parts tell.
func TestModules(t *testing.T) {
	t.Parallel()
	two := both(change{"-fc": none}, mlp("fc.0", "fc.3", 64))
	const nn = "torch.nn.modules."
	for name, test := range map[string]struct {
		change  change
		modules map[string]string
		head    spec.Head
		wrong   string
	}{
		"as torchvision":    {nil, map[string]string{"": "torchvision.models.resnet.ResNet", "relu": nn + "activation.ReLU", "maxpool": nn + "pooling.MaxPool2d", "avgpool": nn + "pooling.AdaptiveAvgPool2d"}, linear6, ""},
		"ReLU in the head":  {two, map[string]string{"fc.0": nn + "linear.Linear", "fc.1": nn + "activation.ReLU", "fc.2": nn + "dropout.Dropout", "fc.3": nn + "linear.Linear"}, layers(6, true, false), ""},
		"no ReLU":           {two, map[string]string{"fc.0": nn + "linear.Linear", "fc.1": nn + "dropout.Dropout", "fc.3": nn + "linear.Linear"}, layers(6, false, false), ""},
		"Tanh in the head":  {two, map[string]string{"fc.0": nn + "linear.Linear", "fc.1": nn + "activation.Tanh", "fc.3": nn + "linear.Linear"}, spec.Head{}, "fc.1 is Tanh"},
		"sigmoid":           {nil, map[string]string{"sigmoid": nn + "activation.Sigmoid"}, active(linear6, spec.Sigmoid), ""},
		"another relu":      {nil, map[string]string{"relu": nn + "activation.LeakyReLU"}, spec.Head{}, "relu is LeakyReLU"},
		"relu of a block":   {nil, map[string]string{"layer1.0.relu": nn + "activation.SiLU"}, spec.Head{}, "layer1.0.relu is SiLU"},
		"no max pooling":    {nil, map[string]string{"maxpool": nn + "linear.Identity"}, spec.Head{}, "maxpool is Identity"},
		"max pooled":        {nil, map[string]string{"avgpool": nn + "pooling.AdaptiveMaxPool2d"}, spec.Head{}, "avgpool is AdaptiveMaxPool2d"},
		"norm before ReLU":  {both(two, batchNorm("fc.2", 64)), map[string]string{"fc.0": nn + "linear.Linear", "fc.1": nn + "activation.ReLU", "fc.3": nn + "linear.Linear"}, layers(6, true, false), ""},
		"norm without ReLU": {both(two, batchNorm("fc.1", 64)), map[string]string{"fc.0": nn + "linear.Linear", "fc.3": nn + "linear.Linear"}, layers(6, false, false), ""},
	} {
		all := tensors(t, torchvision, "")
		test.change.apply(all)
		r, err := ResNet18(all, test.modules)
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%s: error %v, want %q", name, err, test.wrong)
			}
			continue
		}
		if err != nil || fmt.Sprint(r.Head) != fmt.Sprint(test.head) || len(r.Notes) > 0 {
			t.Errorf("%s: head %v, want %v; notes %q, error %v", name, r.Head, test.head, r.Notes, err)
		}
	}
}

// TestFold compares layers with batch norms folded in with the formula, number by number.
func TestFold(t *testing.T) {
	t.Parallel()
	// One input of 512 features that are all zero but for two.
	values := func(n int, f func(i int) float32) raw.Lazy {
		return raw.Lazy{Shape: []int{n}, Float: true, Read: func() ([]float32, error) {
			x := make([]float32, n)
			for i := range x {
				x[i] = f(i)
			}
			return x, nil
		}}
	}
	shaped := func(l raw.Lazy, shape ...int) raw.Lazy { l.Shape = shape; return l }
	wave := func(a, b float64) func(int) float32 {
		return func(i int) float32 { return float32(math.Sin(a*float64(i) + b)) }
	}
	positive := func(i int) float32 { return 1e-4 + float32(i%7) } // epsilon is a tenth of the least
	norm := func(name string, n int, phase float64) change {
		return change{name + ".weight": values(n, wave(0.3, phase)), name + ".bias": values(n, wave(0.7, phase)),
			name + ".running_mean": values(n, wave(1.1, phase)), name + ".running_var": values(n, positive)}
	}
	first := func(in int) raw.Lazy { return shaped(values(5*in, wave(0.01, 1)), 5, in) }
	second := shaped(values(15, wave(0.2, 2)), 3, 5)
	layer := func(w raw.Lazy, b raw.Lazy) func([]float64) []float64 {
		return func(x []float64) []float64 {
			wx, _ := w.Read()
			out := make([]float64, w.Shape[0])
			if b.Read != nil {
				bias, _ := b.Read()
				for o := range out {
					out[o] = float64(bias[o])
				}
			}
			for o := range out {
				for i := range x {
					out[o] += float64(wx[o*len(x)+i]) * x[i]
				}
			}
			return out
		}
	}
	normal := func(c change, name string) func([]float64) []float64 {
		return func(x []float64) []float64 {
			g, _ := c[name+".weight"].Read()
			b, _ := c[name+".bias"].Read()
			m, _ := c[name+".running_mean"].Read()
			v, _ := c[name+".running_var"].Read()
			out := make([]float64, len(x))
			for i := range x {
				out[i] = (x[i]-float64(m[i]))/math.Sqrt(float64(v[i])+1e-5)*float64(g[i]) + float64(b[i])
			}
			return out
		}
	}
	relu := func(x []float64) []float64 {
		for i := range x {
			x[i] = max(x[i], 0)
		}
		return x
	}
	swap := func(x []float64) []float64 { return slices.Concat(x[len(x)/2:], x[:len(x)/2]) }
	bias5, bias3 := values(5, wave(1, 0)), values(3, wave(2, 0))
	n0, n1, n2, n3 := norm("fc.0", 512, 1), norm("fc.3", 5, 2), norm("fc.1", 5, 3), norm("fc.4", 3, 4)
	for name, test := range map[string]struct {
		change change
		steps  []func([]float64) []float64
	}{
		"before the first": {both(n0, change{"fc.1.weight": first(512), "fc.1.bias": bias5}), []func([]float64) []float64{normal(n0, "fc.0"), layer(first(512), bias5)}},
		"without a bias":   {both(n0, change{"fc.1.weight": first(512)}), []func([]float64) []float64{normal(n0, "fc.0"), layer(first(512), none)}},
		"fastai": {both(change{"fc.0.weight": first(512), "fc.5.weight": second, "fc.5.bias": bias3}, n1),
			[]func([]float64) []float64{layer(first(512), none), relu, normal(n1, "fc.3"), layer(second, bias3)}},
		"before ReLU": {both(change{"fc.0.weight": first(512), "fc.0.bias": bias5, "fc.3.weight": second}, n2),
			[]func([]float64) []float64{layer(first(512), bias5), normal(n2, "fc.1"), relu, layer(second, none)}},
		"after the last": {both(change{"fc.0.weight": first(512), "fc.3.weight": second, "fc.3.bias": bias3}, n3),
			[]func([]float64) []float64{layer(first(512), none), relu, layer(second, bias3), normal(n3, "fc.4")}},
		"timm": {change{"fc.weight": first(1024), "fc.bias": bias5}, []func([]float64) []float64{swap, layer(first(1024), bias5)}},
	} {
		all := tensors(t, torchvision, "")
		change{"-fc": none}.apply(all)
		test.change.apply(all)
		r, err := ResNet18(all, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		x := make([]float64, 512)
		if r.Head.Pool == spec.MaxAverage {
			x = make([]float64, 1024)
		}
		for i := range x {
			x[i] = math.Abs(math.Sin(float64(i * i)))
		}
		want := slices.Clone(x)
		for _, step := range test.steps {
			want = step(want)
		}
		got := x
		for i := range r.Head.ReLU {
			at := "fc"
			if len(r.Head.ReLU) > 1 {
				at = fmt.Sprintf("fc.%d", i)
			}
			got = layer(r.Tensors[at+".weight"], r.Tensors[at+".bias"])(got)
			if r.Head.ReLU[i] {
				got = relu(got)
			}
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-4*(1+math.Abs(want[i])) {
				t.Errorf("%s: output %d is %v, want %v", name, i, got[i], want[i])
			}
		}
	}
}

// TestReadErrors checks that errors of reading come through all that is computed from tensors.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	zeros := func(n int) raw.Lazy {
		return raw.Lazy{Shape: []int{n}, Float: true, Read: func() ([]float32, error) { return make([]float32, n), nil }}
	}
	broken := func(l raw.Lazy) raw.Lazy {
		l.Read = func() ([]float32, error) { return nil, errors.New("disk on fire") }
		return l
	}
	parts := change{"fc.0.weight": zeros(512), "fc.0.bias": zeros(512), "fc.0.running_mean": zeros(512), "fc.0.running_var": zeros(512),
		"fc.1.weight": {Shape: []int{6, 512}, Float: true, Read: zeros(6 * 512).Read}, "fc.1.bias": zeros(6), "conv1.bias": zeros(64), "bn1.running_mean": zeros(64)}
	for name := range parts {
		for what, spoil := range map[string]func(raw.Lazy) raw.Lazy{
			"disk on fire": broken,
			"numbers":      func(l raw.Lazy) raw.Lazy { l.Read = zeros(1).Read; return l },
		} {
			if what == "numbers" && !strings.HasPrefix(name, "fc") {
				continue
			}
			all := tensors(t, torchvision, "")
			change{"-fc": none}.apply(all)
			parts.apply(all)
			all[name] = spoil(all[name])
			r, err := ResNet18(all, nil)
			if err != nil {
				t.Fatal(err)
			}
			read := []string{"fc.weight", "fc.bias"}
			if !strings.HasPrefix(name, "fc") {
				read = []string{"bn1.running_mean"}
			}
			for _, part := range read {
				if _, err := r.Tensors[part].Read(); err == nil || !strings.Contains(err.Error(), what) {
					t.Errorf("%s with %s: reading %s: error %v", name, what, part, err)
				}
			}
		}
	}
	parts["fc.0.running_var"] = raw.Lazy{Shape: []int{512}, Float: true, Read: func() ([]float32, error) { return slices.Repeat([]float32{-1}, 512), nil }}
	all := tensors(t, torchvision, "")
	change{"-fc": none}.apply(all)
	parts.apply(all)
	r, err := ResNet18(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Tensors["fc.bias"].Read(); err == nil || !strings.Contains(err.Error(), "fc.0.running_var holds -1 at element 0") {
		t.Errorf("negative variance: error %v", err)
	}
}

// TestShifted checks that a convolution's bias beside a batch norm goes into the mean.
func TestShifted(t *testing.T) {
	t.Parallel()
	all := tensors(t, torchvision, "")
	give := func(v float32) raw.Lazy {
		return raw.Lazy{Shape: []int{64}, Float: true, Read: func() ([]float32, error) { return slices.Repeat([]float32{v}, 64), nil }}
	}
	all["conv1.bias"], all["bn1.running_mean"] = give(0.25), give(2)
	r, err := ResNet18(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	if mean, err := r.Tensors["bn1.running_mean"].Read(); err != nil || mean[0] != 1.75 || mean[63] != 1.75 {
		t.Errorf("running mean %v, error %v, want 1.75", mean, err)
	}
	if _, ok := r.Tensors["conv1.bias"]; ok {
		t.Error("the bias is still there")
	}
}

// TestTwins checks that one network with two names is taken, and that two networks are not.
func TestTwins(t *testing.T) {
	t.Parallel()
	stem := func(v float32) raw.Lazy {
		return raw.Lazy{Shape: []int{64, 3, 7, 7}, Float: true, Read: func() ([]float32, error) { return slices.Repeat([]float32{v}, 64*147), nil }}
	}
	for v, wrong := range map[float32]string{1: "", 2: `several ResNet-18, under "resnet." and "features."`} {
		all := merge(tensors(t, torchvision, "resnet."), tensors(t, sequential, "features."))
		all["resnet.conv1.weight"], all["features.0.weight"] = stem(1), stem(v)
		all["classifier.weight"] = unread(6, 512)
		all["resnet.fc.weight"], all["resnet.fc.bias"] = unread(1000, 512), unread(1000)
		r, err := ResNet18(all, nil)
		if wrong == "" && (err != nil || r.Head.Classes != 6) || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("head %v, error %v, want %q", r.Head, err, wrong)
		}
	}
}

// TestTooMany checks that names are counted before they are compared with patterns and each other.
func TestTooMany(t *testing.T) {
	t.Parallel()
	many, long := map[string]raw.Lazy{}, map[string]raw.Lazy{}
	for i := range maxTensors + 1 {
		many[fmt.Sprintf("%d.layer1.0.conv1.weight", i)] = unread(64, 64, 3, 3)
	}
	for i := range 2000 {
		long[strings.Repeat("1.", 200)+fmt.Sprint(i)] = unread(64, 64, 3, 3)
	}
	for problem, tensors := range map[string]map[string]raw.Lazy{
		"it has 4097 tensors": many,
		"are too long":        long,
		"too long, such as":   {strings.Repeat("1.", 100_000) + "weight": unread(1, 1)},
	} {
		if _, err := ResNet18(tensors, nil); err == nil || !strings.Contains(err.Error(), problem) || len(err.Error()) > 500 {
			t.Errorf("error %.500v, want a short one with %q", err, problem)
		}
	}
}

func TestNoModel(t *testing.T) {
	t.Parallel()
	for want, keys := range map[string][]string{"only the state of an optimizer": {"epoch", "optimizer"}, "no tensors": {"epoch", "arch"}} {
		if err := NoModel(keys); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NoModel(%q): %v, want %q", keys, err, want)
		}
	}
}

// FuzzNames renames and removes tensors. What comes out is an error or a network with all its parts.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "fc.0.weight 6 512", "-fc.weight\nfc.1.weight 6 512", "conv1.weight>stem.0.weight", ">module.", "layer1>0.4\nconv1>0.0",
		"layer99999999999999999999.0.conv1.weight 1", "fc.99999999999999999999.weight 6 512", "fc.9.running_mean 6\nfc.9.running_var 6", "..", "a.b.mean 3\nstd 3"} {
		f.Add(seed)
	}
	original := tensors(f, torchvision, "")
	f.Fuzz(func(t *testing.T, script string) {
		if len(script) > 2000 {
			return
		}
		all := maps.Clone(original)
		for line := range strings.Lines(script) {
			name, shape, _ := strings.Cut(strings.TrimSpace(line), " ")
			lazy := unread()
			for field := range strings.FieldsSeq(shape) {
				n, err := strconv.Atoi(field)
				if err != nil {
					return
				}
				lazy.Shape = append(lazy.Shape, n)
			}
			change{name: lazy}.apply(all)
		}
		r, err := ResNet18(all, nil)
		if err != nil {
			return
		}
		if err := r.Head.Validate(); err != nil {
			t.Error(err)
		}
		checkCanonical(t, r)
	})
}

// BenchmarkResNet18 reports what recognizing costs: a file is loaded in about 20 ms.
func BenchmarkResNet18(b *testing.B) {
	for name, scheme := range map[string]naming{"torchvision": torchvision, "transformers": transformers} {
		all := tensors(b, scheme, "module.")
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ResNet18(all, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
