package recognize

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// scheme is a way to name the tensors of a residual network.
type scheme struct {
	name  string
	rules []rule
}

// rule renames one part of the network: what matches becomes to, and what follows the match stays. $1, $2 and $3 in to are the
// matched numbers after add: transformers counts stages from 0, torchvision layers from 1.
type rule struct {
	from *regexp.Regexp
	to   string
	add  [3]int
}

func of(from, to string, add ...int) rule {
	r := rule{from: regexp.MustCompile("^" + from), to: to}
	copy(r.add[:], add)
	return r
}

// The members of a batch norm, at the end of a name.
const member = `(?:weight|bias|running_mean|running_var|num_batches_tracked)$`

// schemes are those that are known, the most frequent first. Heads have no scheme: everybody names them differently.
var schemes = []scheme{
	{"torchvision", []rule{ // also timm, mmpretrain, Lightning, DataParallel and most others, under a prefix
		of(`conv1\.`, "conv1."),
		of(`bn1\.`, "bn1."),
		of(`layer(\d+)\.(\d+)\.shortcut\.`, "layer$1.$2.downsample."),
		of(`layer(\d+)\.(\d+)\.`, "layer$1.$2."),
	}},
	{"transformers", []rule{
		of(`embedder\.embedder\.convolution\.`, "conv1."),
		of(`embedder\.embedder\.normalization\.`, "bn1."),
		of(`encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.convolution\.`, "layer$1.$2.conv$3.", 1, 0, 1),
		of(`encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.normalization\.`, "layer$1.$2.bn$3.", 1, 0, 1),
		of(`encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.convolution\.`, "layer$1.$2.downsample.0.", 1),
		of(`encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.normalization\.`, "layer$1.$2.downsample.1.", 1),
		of(`encoder\.stages\.(\d+)\.layers\.(\d+)\.`, "layer$1.$2.", 1),
	}},
	{"nn.Sequential", []rule{ // nn.Sequential(*list(model.children())[:-1]), fastai's body
		of(`0\.`, "conv1."),
		of(`1\.`, "bn1."),
		of(`([4-7])\.(\d+)\.`, "layer$1.$2.", -3),
	}},
	{"layer0", []rule{ // the stem as one module: encoders of segmentation networks
		of(`layer0\.0\.`, "conv1."),
		of(`layer0\.1\.`, "bn1."),
		of(`layer([1-9])\.(\d+)\.`, "layer$1.$2."),
	}},
	{"nn.Sequential of nn.Sequential", []rule{
		of(`0\.0\.`, "conv1."),
		of(`0\.1\.`, "bn1."),
		of(`([1-4])\.(\d+)\.`, "layer$1.$2."),
	}},
	{"Detectron2", []rule{
		of(`stem\.conv1\.norm\.`, "bn1."),
		of(`stem\.conv1\.`, "conv1."),
		of(`res([2-5])\.(\d+)\.conv(\d)\.norm\.`, "layer$1.$2.bn$3.", -1),
		of(`res([2-5])\.(\d+)\.shortcut\.norm\.`, "layer$1.$2.downsample.1.", -1),
		of(`res([2-5])\.(\d+)\.shortcut\.`, "layer$1.$2.downsample.0.", -1),
		of(`res([2-5])\.(\d+)\.`, "layer$1.$2.", -1),
	}},
}

// rename returns torchvision's form of a name without prefix, and whether the name belongs to the backbone.
func (s *scheme) rename(name string) (string, bool) {
	for _, r := range s.rules {
		at := r.from.FindStringSubmatchIndex(name)
		if at == nil {
			continue
		}
		to := r.to
		for i := 2; i < len(at); i += 2 {
			n, err := strconv.Atoi(name[at[i]:at[i+1]])
			if err != nil {
				return "", false // a number out of range
			}
			to = strings.Replace(to, "$"+strconv.Itoa(i/2), strconv.Itoa(n+r.add[i/2-1]), 1)
		}
		to += name[at[1]:]
		if strings.HasPrefix(to, "conv1.") || strings.HasPrefix(to, "bn1.") {
			return to, s.name == "torchvision" || stemMember.MatchString(to)
		}
		return to, true
	}
	return "", false
}

// stemMember matches the stem's tensors. In an nn.Sequential, 0 and 1 are the stem only with one of these directly after.
var stemMember = regexp.MustCompile(`^(?:conv1|bn1)\.` + member)

// place is a scheme and what stands before its names.
type place struct {
	scheme *scheme
	prefix string
}

// finding is the tensors of one network, divided in those of a residual network's backbone and others.
type finding struct {
	place
	likeness int                 // convolutions of ResNet-18 found by name, of 20
	backbone map[string]raw.Lazy // by torchvision's name
	stored   map[string]string   // the file's names of those
	rest     map[string]raw.Lazy // by the file's name
	modules  map[string]string   // classes by the file's name; nil if they are not known
	twins    []twin
	notes    []string
}

// twin is another network in the file that has the same right to be taken.
type twin struct {
	place
	stem raw.Lazy
}

// stem returns the weight of the first convolution.
func (p place) stem(tensors map[string]raw.Lazy) raw.Lazy {
	for name, t := range tensors {
		if inner, ok := strings.CutPrefix(name, p.prefix); ok {
			if to, ok := p.scheme.rename(inner); ok && to == "conv1.weight" {
				return t
			}
		}
	}
	return raw.Lazy{}
}

// alone returns an error if the file holds several networks of which none is to be preferred. A network often has two names:
// model.conv1 and, in an nn.Sequential made of its parts, features.0. Then the numbers are the same.
func (f *finding) alone() error {
	for _, t := range f.twins {
		mine := f.backbone["conv1.weight"]
		if mine.Read == nil || t.stem.Read == nil {
			continue
		}
		a, errA := mine.Read()
		b, errB := t.stem.Read()
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if !slices.Equal(a, b) {
			return fmt.Errorf("the file holds several ResNet-18, under %q and %q: a model of several networks is not served; save the state_dict() of one", f.prefix, t.prefix)
		}
	}
	return nil
}

// search finds the scheme and the prefix under which most convolutions of ResNet-18 have a name. Of several complete
// networks in one file, such as MoCo's two encoders, it takes the one that is meant to be used.
func search(tensors map[string]raw.Lazy) *finding {
	convolutions := map[string]bool{}
	for _, c := range convs {
		convolutions[c.name+".weight"] = true
	}
	names := slices.Sorted(maps.Keys(tensors))
	counts := map[place]int{}
	for _, name := range names {
		if !strings.HasSuffix(name, ".weight") {
			continue
		}
		for at := 0; at >= 0; at = next(name, at) {
			for i := range schemes {
				if to, ok := schemes[i].rename(name[at:]); ok && convolutions[to] {
					counts[place{&schemes[i], name[:at]}]++
				}
			}
		}
	}
	var best place
	for i := range schemes {
		for _, p := range slices.SortedFunc(maps.Keys(counts), func(a, b place) int { return strings.Compare(a.prefix, b.prefix) }) {
			if p.scheme != &schemes[i] {
				continue
			}
			if n, most := counts[p], counts[best]; n > most || n == most && precedence(p.prefix) < precedence(best.prefix) {
				best = p
			}
		}
	}
	f := &finding{place: best, likeness: counts[best], backbone: map[string]raw.Lazy{}, stored: map[string]string{}, rest: map[string]raw.Lazy{}}
	if f.likeness < alike {
		f.rest = tensors
		return f
	}
	others := f.others(counts)
	for _, name := range names {
		f.put(name, tensors[name], others)
	}
	for p, n := range counts {
		if n == f.likeness && p.prefix != f.prefix && precedence(p.prefix) == precedence(f.prefix) {
			f.twins = append(f.twins, twin{p, p.stem(tensors)})
		}
	}
	return f
}

// next returns where the segment of a name after the one at position at begins, -1 after the last.
func next(name string, at int) int {
	if i := strings.IndexByte(name[at:], '.'); i >= 0 {
		return at + i + 1
	}
	return -1
}

// put adds a tensor where it belongs.
func (f *finding) put(name string, t raw.Lazy, others []other) {
	if inner, ok := strings.CutPrefix(name, f.prefix); ok {
		if to, ok := f.scheme.rename(inner); ok {
			f.backbone[to], f.stored[to] = t, name
			return
		}
	} else if slices.ContainsFunc(others, func(o other) bool { return o.has(name) }) {
		return
	}
	f.rest[name] = t
}

// other is a part of the file that belongs to another network: all under prefix, but for what is under except.
type other struct{ prefix, except string }

func (o other) has(name string) bool {
	return strings.HasPrefix(name, o.prefix) && (o.except == "" || !strings.HasPrefix(name, o.except))
}

// others returns the parts of the file that belong to other networks. For a network under "teacher.backbone." and another one
// under "student.backbone." that is all of "student."; for one under "ema.module." beside one without prefix, all but "ema.".
func (f *finding) others(counts map[place]int) (others []other) {
	for p, n := range counts {
		if n < alike || p.prefix == f.prefix {
			continue
		}
		common := 0
		for common < len(p.prefix) && strings.HasPrefix(f.prefix, p.prefix[:next(p.prefix, common)]) {
			common = next(p.prefix, common)
		}
		if common < len(p.prefix) {
			others = append(others, other{prefix: p.prefix[:next(p.prefix, common)]})
		} else {
			others = append(others, other{prefix: p.prefix, except: f.prefix[:next(f.prefix, common)]})
		}
	}
	if len(others) > 0 {
		f.notes = append(f.notes, "the file holds several networks: the one under "+f.prefix+" is used")
	}
	return others
}

// precedences tells which of several networks in one file is meant to be used: averaged weights before those of the last step,
// the one that learned by gradients before its slow copy, where only the slow one is a means to an end (MoCo, BYOL).
var precedences = []*regexp.Regexp{
	regexp.MustCompile(`(?:^|[._])ema(?:[._]|$)`),
	regexp.MustCompile(`(?:^|[._])teacher(?:[._]|$)`),
	regexp.MustCompile(`(?:^|[._])(?:encoder_q|base_encoder|online_encoder|online_network|online)(?:[._]|$)`),
}

// late matches networks that are taken last.
var late = regexp.MustCompile(`(?:^|[._])(?:encoder_k|momentum|momentum_encoder|target|target_encoder|target_network|student)(?:[._]|$)`)

// precedence is lower for a prefix that is to be preferred.
func precedence(prefix string) int {
	for i, p := range precedences {
		if p.MatchString(prefix) {
			return i
		}
	}
	if late.MatchString(prefix) {
		return len(precedences) + 1
	}
	return len(precedences)
}
