package pth

import (
	"regexp"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// dotted returns the name as Python spells it: "collections.OrderedDict".
func (g global) dotted() string { return strings.Replace(string(g), " ", ".", 1) }

// mangled is what TorchScript adds to classes of one name: "__torch__.torch.nn.modules.conv.___torch_mangle_25.Conv2d".
var mangled = regexp.MustCompile(`\.___torch_mangle_\d+`)

// className returns the name of a class as its source has it, without what TorchScript adds.
func (g global) className() string {
	return mangled.ReplaceAllString(strings.TrimPrefix(g.dotted(), "__torch__."), "")
}

// storageTypes are the names of storage classes in module torch and its parts (torch.cuda).
var storageTypes = map[string]raw.DType{
	"DoubleStorage":        raw.F64,
	"FloatStorage":         raw.F32,
	"HalfStorage":          raw.F16,
	"BFloat16Storage":      raw.BF16,
	"LongStorage":          "I64",
	"IntStorage":           "I32",
	"ShortStorage":         "I16",
	"CharStorage":          raw.I8,
	"ByteStorage":          "U8",
	"BoolStorage":          "BOOL",
	"UntypedStorage":       "U8",
	"QInt8Storage":         raw.I8,
	"QUInt8Storage":        "U8",
	"QInt32Storage":        "I32",
	"ComplexFloatStorage":  "C64",
	"ComplexDoubleStorage": "C128",
}

// elementType returns the type of a storage class's elements, "" if it is none.
func (g global) elementType() raw.DType {
	module, name, _ := strings.Cut(string(g), " ")
	if module == "torch" || strings.HasPrefix(module, "torch.") {
		return storageTypes[name]
	}
	return ""
}

// attacks are functions that no checkpoint has a reason to call, by module; nil stands for all of a module. Nothing is called
// here, but elsewhere such a file runs its author's commands, which is worth a refusal. The list need not be complete.
var attacks = map[string][]string{
	"os": shells, "posix": shells, "nt": shells,
	"builtins": evaluators, "__builtin__": evaluators,
	"subprocess": nil, "commands": nil, "pty": nil, "runpy": nil, "webbrowser": nil, "socket": nil, "ctypes": nil,
	"shutil":    {"rmtree", "move", "copyfile"},
	"importlib": {"import_module", "__import__"},
}

var (
	shells = []string{
		"system", "popen", "startfile", "fork", "remove", "unlink", "rmdir", "rename", "execl", "execle", "execlp", "execv", "execve",
		"execvp", "execvpe", "spawnl", "spawnle", "spawnlp", "spawnv", "spawnve", "spawnvp", "posix_spawn", "posix_spawnp",
	}
	evaluators = []string{"eval", "exec", "execfile", "compile", "__import__", "open", "breakpoint"}
)

// isAttack reports whether a call of g does harm where calls are made.
func (g global) isAttack() bool {
	module, name, _ := strings.Cut(string(g), " ")
	names, known := attacks[module]
	return known && (names == nil || slices.Contains(names, name))
}
