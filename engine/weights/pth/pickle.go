package pth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// Values on the machine's stack are nil (None), bool, int64, float64, string, tuple, *list, *dict, *storage,
// *view, global and mark.
type (
	tuple  []any
	list   struct{ items []any }
	dict   struct{ entries []dictEntry }
	global string // "module name" of an allowed class or function
	mark   struct{}
)

type dictEntry struct{ key, value any }

// get returns the value of the last entry with a string key, as a later assignment wins; nil if none has it.
func (d *dict) get(key string) any {
	for i := len(d.entries) - 1; i >= 0; i-- {
		if k, ok := d.entries[i].key.(string); ok && k == key {
			return d.entries[i].value
		}
	}
	return nil
}

// kind names a value's type for error messages.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case *view:
		return "tensor"
	case *dict:
		return "dictionary"
	case *list:
		return "list"
	case *storage:
		return "storage"
	case global:
		return string(v)
	case int64:
		return "number"
	}
	return fmt.Sprintf("%T", v)
}

// The names a pickle may use: everything else could be a call into anything.
const (
	orderedDict      = "collections OrderedDict"
	rebuildTensor    = "torch._utils _rebuild_tensor_v2"
	rebuildParameter = "torch._utils _rebuild_parameter"
)

// storageClasses are the names of storage types that stand in persistent ids.
var storageClasses = map[global]raw.DType{
	"torch DoubleStorage":   raw.F64,
	"torch FloatStorage":    raw.F32,
	"torch HalfStorage":     raw.F16,
	"torch BFloat16Storage": raw.BF16,
	"torch LongStorage":     "I64",
	"torch IntStorage":      "I32",
	"torch ShortStorage":    "I16",
	"torch CharStorage":     "I8",
	"torch ByteStorage":     "U8",
	"torch BoolStorage":     "BOOL",
}

// machine executes a pickle. Its memory is bounded by the program's length: no opcode makes more than it
// reads, save by a constant.
type machine struct {
	program []byte
	pc      int
	stack   []any
	memo    map[uint32]any
}

// unpickle runs one pickle and returns its value and length in bytes.
func unpickle(program []byte) (value any, length int, err error) {
	m := &machine{program: program, memo: map[uint32]any{}}
	for {
		at := m.pc
		op, err := m.byte()
		if err != nil {
			return nil, 0, err
		}
		if op == '.' { // STOP
			v, err := m.pop()
			return v, m.pc, err
		}
		if err := m.step(op); err != nil {
			return nil, 0, fmt.Errorf("pickle opcode 0x%02x at byte %d: %w", op, at, err)
		}
	}
}

// step executes one opcode other than STOP. Opcode names are those of pickletools.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := m.byte()
		if err == nil && v > 5 {
			err = fmt.Errorf("protocol %d, want at most 5", v)
		}
		return err
	case 0x95: // FRAME
		_, err := m.take(8)
		return err
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return m.global(op == 0x93)
	case 'Q': // BINPERSID
		return m.persistent()
	case 'R': // REDUCE
		return m.reduce()
	case 'b': // BUILD: attributes of an OrderedDict (_metadata), which say nothing about tensors
		if _, err := m.pop(); err != nil {
			return err
		}
		_, err := top[*dict](m)
		return err
	case 'q', 'r', 0x94, 'h', 'j': // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
		return m.remember(op)
	case '(': // MARK
		m.push(mark{})
		return nil
	case 't', 0x85, 0x86, 0x87, 'e', 'a', 's', 'u': // TUPLE, TUPLE1..3, APPENDS, APPEND, SETITEM, SETITEMS
		return m.collect(op)
	}
	return m.constant(op)
}

// constant pushes a new plain value or empty container.
func (m *machine) constant(op byte) error {
	switch op {
	case 'N': // NONE
		m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		m.push(op == 0x88)
	case ')': // EMPTY_TUPLE
		m.push(tuple(nil))
	case ']': // EMPTY_LIST
		m.push(&list{})
	case '}': // EMPTY_DICT
		m.push(&dict{})
	case 'K', 'M', 'J', 0x8a: // BININT1, BININT2, BININT, LONG1
		return m.integer(op)
	case 'G': // BINFLOAT, big-endian
		b, err := m.take(8)
		if err != nil {
			return err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X', 0x8c, 'U', 'T': // BINUNICODE, SHORT_BINUNICODE, SHORT_BINSTRING, BINSTRING
		n := uint32(0)
		var err error
		if op == 0x8c || op == 'U' {
			var short byte
			short, err = m.byte()
			n = uint32(short)
		} else {
			n, err = m.uint32()
		}
		if err != nil {
			return err
		}
		b, err := m.take(int(n))
		if err != nil {
			return err
		}
		m.push(string(b))
	default:
		return errors.New("not one of those that build tensors: refused")
	}
	return nil
}

// integer pushes a little-endian number of the opcode's width; BININT and LONG1 are signed.
func (m *machine) integer(op byte) error {
	width, signed := map[byte]int{'K': 1, 'M': 2, 'J': 4}[op], op == 'J'
	if op == 0x8a {
		n, err := m.byte()
		if err != nil {
			return err
		}
		if n > 8 {
			return fmt.Errorf("number of %d bytes, want at most 8", n)
		}
		width, signed = int(n), true
	}
	b, err := m.take(width)
	if err != nil {
		return err
	}
	var buf [8]byte
	copy(buf[:], b)
	v := binary.LittleEndian.Uint64(buf[:])
	if signed && width > 0 {
		shift := 64 - 8*width
		m.push(int64(v<<shift) >> shift)
		return nil
	}
	m.push(int64(v))
	return nil
}

// global pushes an allowed name, read from the program or from two strings on the stack.
func (m *machine) global(onStack bool) error {
	var module, name string
	var err error
	if onStack {
		if name, err = pop[string](m); err == nil {
			module, err = pop[string](m)
		}
	} else if module, err = m.line(); err == nil {
		name, err = m.line()
	}
	if err != nil {
		return err
	}
	g := global(module + " " + name)
	_, isStorage := storageClasses[g]
	if !isStorage && g != orderedDict && g != rebuildTensor && g != rebuildParameter {
		return fmt.Errorf("global %q is not one of those that build tensors: refused", module+"."+name)
	}
	m.push(g)
	return nil
}

// persistent turns the id ("storage", class, key, device, elements[, view]) into a storage.
func (m *machine) persistent() error {
	id, err := pop[tuple](m)
	if err != nil {
		return err
	}
	if len(id) < 5 || id[0] != "storage" {
		return errors.New("persistent id is not that of a storage")
	}
	class, isGlobal := id[1].(global)
	dtype, known := storageClasses[class]
	key, isString := id[2].(string)
	elements, isNumber := id[4].(int64)
	if !isGlobal || !known || !isString || !isNumber {
		return fmt.Errorf("storage id is (%s, %s, %s), want (class, string, number)", kind(id[1]), kind(id[2]), kind(id[4]))
	}
	if len(id) > 5 && id[5] != nil {
		return fmt.Errorf("storage %q is a view of another, which only PyTorch before 0.4 wrote", key)
	}
	if elements < 0 || elements > raw.MaxElements {
		return fmt.Errorf("storage %q has %d elements, want at most %d", key, elements, raw.MaxElements)
	}
	m.push(&storage{key, dtype, int(elements)})
	return nil
}

// reduce calls one of the allowed names with a tuple of arguments.
func (m *machine) reduce() error {
	args, err := pop[tuple](m)
	if err != nil {
		return err
	}
	f, err := pop[global](m)
	if err != nil {
		return err
	}
	switch f {
	case orderedDict:
		if len(args) != 0 {
			return errors.New("OrderedDict with arguments: refused")
		}
		m.push(&dict{})
	case rebuildTensor: // (storage, offset, shape, stride, requires_grad, hooks)
		v, err := newTensor(args)
		if err != nil {
			return err
		}
		m.push(v)
	case rebuildParameter: // (tensor, requires_grad, hooks)
		if len(args) < 1 {
			return errors.New("parameter without tensor")
		}
		v, ok := args[0].(*view)
		if !ok {
			return fmt.Errorf("parameter is a %s, want a tensor", kind(args[0]))
		}
		m.push(v)
	default:
		return fmt.Errorf("call of %q: refused", string(f))
	}
	return nil
}

func newTensor(args tuple) (*view, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("tensor with %d arguments, want at least 4", len(args))
	}
	s, ok := args[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("tensor of a %s, want a storage", kind(args[0]))
	}
	offset, ok := args[1].(int64)
	if !ok {
		return nil, fmt.Errorf("tensor's offset is a %s", kind(args[1]))
	}
	shape, err := ints(args[2])
	if err != nil {
		return nil, fmt.Errorf("tensor's shape: %w", err)
	}
	stride, err := ints(args[3])
	if err != nil {
		return nil, fmt.Errorf("tensor's stride: %w", err)
	}
	return newView(s, offset, shape, stride)
}

// ints reads a tuple of numbers that are each at most raw.MaxElements.
func ints(v any) ([]int, error) {
	t, ok := v.(tuple)
	if !ok {
		return nil, fmt.Errorf("is a %s, want a tuple", kind(v))
	}
	out := make([]int, len(t))
	for i, x := range t {
		n, ok := x.(int64)
		if !ok || n < 0 || n > raw.MaxElements {
			return nil, fmt.Errorf("element %d is %v", i, x)
		}
		out[i] = int(n)
	}
	return out, nil
}

// remember puts the top of the stack into the memo, or gets from there.
func (m *machine) remember(op byte) error {
	index := uint32(len(m.memo)) // MEMOIZE
	var err error
	switch op {
	case 'q', 'h':
		var b byte
		b, err = m.byte()
		index = uint32(b)
	case 'r', 'j':
		index, err = m.uint32()
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[index]
		if !ok {
			return fmt.Errorf("memo has no entry %d", index)
		}
		m.push(v)
		return nil
	}
	v, err := m.pop()
	if err != nil {
		return err
	}
	m.push(v)
	m.memo[index] = v
	return nil
}

// collect moves values from the stack into a tuple, a list or a dictionary.
func (m *machine) collect(op byte) error {
	n := map[byte]int{0x85: 1, 0x86: 2, 0x87: 3, 'a': 1, 's': 2}[op]
	var items []any
	var err error
	if n > 0 {
		items, err = m.popN(n)
	} else {
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	switch op {
	case 'a', 'e':
		l, err := top[*list](m)
		if err != nil {
			return err
		}
		l.items = append(l.items, items...)
	case 's', 'u':
		d, err := top[*dict](m)
		if err != nil {
			return err
		}
		if len(items)%2 != 0 {
			return errors.New("key without value")
		}
		for i := 0; i < len(items); i += 2 {
			d.entries = append(d.entries, dictEntry{items[i], items[i+1]})
		}
	default:
		m.push(tuple(items))
	}
	return nil
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

var errEmpty = errors.New("stack is empty")

func (m *machine) pop() (any, error) {
	items, err := m.popN(1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// popN takes the n topmost values, the deepest first.
func (m *machine) popN(n int) ([]any, error) {
	rest := len(m.stack) - n
	if rest < 0 {
		return nil, errEmpty
	}
	items := append([]any(nil), m.stack[rest:]...)
	m.stack = m.stack[:rest]
	return items, nil
}

// popMark takes the values above the topmost mark, and the mark.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items, err := m.popN(len(m.stack) - i)
			return items[1:], err
		}
	}
	return nil, errors.New("no mark on the stack")
}

// pop takes the topmost value, which must be a T.
func pop[T any](m *machine) (T, error) {
	v, err := m.pop()
	if err != nil {
		return *new(T), err
	}
	t, ok := v.(T)
	if !ok {
		return t, fmt.Errorf("on a %s", kind(v))
	}
	return t, nil
}

// top looks at the topmost value, which must be a T.
func top[T any](m *machine) (T, error) {
	t, err := pop[T](m)
	if err == nil {
		m.push(t)
	}
	return t, err
}

// take reads the next n bytes of the program.
func (m *machine) take(n int) ([]byte, error) {
	if n < 0 || len(m.program)-m.pc < n {
		return nil, fmt.Errorf("pickle ends: %w", io.ErrUnexpectedEOF)
	}
	b := m.program[m.pc : m.pc+n]
	m.pc += n
	return b, nil
}

func (m *machine) byte() (byte, error) {
	b, err := m.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (m *machine) uint32() (uint32, error) {
	b, err := m.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// line reads up to the next newline, which it drops.
func (m *machine) line() (string, error) {
	for i, c := range m.program[m.pc:] {
		if c == '\n' {
			b, err := m.take(i + 1)
			return string(b[:i]), err
		}
	}
	return "", fmt.Errorf("pickle ends: %w", io.ErrUnexpectedEOF)
}
