package pth

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	// maxSteps bounds what a pickle may cost: an opcode is one step, 64 bytes of a string or a copied item one more. A training
	// checkpoint of ResNet-18 has 10,000 opcodes, with an ImageNet-21k label list 60,000. No step makes more than about 100
	// bytes, so the limit is also one of memory: 200 MB.
	maxSteps = 2 << 20
	// tensorSteps is what a tensor costs: its shape and strides, and the error if they are wrong, have up to 600 bytes.
	tensorSteps = 8
	// maxNesting bounds pickles inside of pickles, which are read by recursion. pickle.dump of tensors has one.
	maxNesting = 2
	// maxString is the bytes up to which text is copied to a string. Names and labels are shorter.
	maxString = 4 << 10
	// maxLine bounds the arguments of protocol 0, which end with a newline.
	maxLine = 1 << 20
)

// machine executes a pickle and calls nothing, see docs/decisions/0104-pickles-as-descriptions.md. Values may share the program's
// memory, save strings.
type machine struct {
	program  []byte
	pc       int
	stack    []any
	memo     map[uint32]any
	steps    *int                // left, shared with pickles inside of pickles
	storages map[string]*storage // all that were named, by key
	nesting  int                 // number of pickles around this one
}

func newMachine(steps *int) *machine {
	return &machine{steps: steps, storages: map[string]*storage{}}
}

var errCost = errors.New("pickle takes too many steps for a checkpoint of ResNet-18")

// charge takes n steps from those left.
func (m *machine) charge(n int) error {
	if *m.steps -= n; *m.steps < 0 {
		return errCost
	}
	return nil
}

// run executes one pickle at the beginning of program and returns its value and length in bytes.
func (m *machine) run(program []byte) (value any, length int, err error) {
	m.program, m.pc, m.stack, m.memo = program, 0, nil, map[uint32]any{}
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
		err = m.charge(1)
		if err == nil {
			err = m.step(op)
		}
		if err != nil {
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
	case 'c', 0x93, 0x82, 0x83, 0x84: // GLOBAL, STACK_GLOBAL, EXT1, EXT2, EXT4
		return m.global(op)
	case 'Q', 'P': // BINPERSID, PERSID
		return m.persistent(op)
	case 'R', 0x81, 0x92, 'i', 'o': // REDUCE, NEWOBJ, NEWOBJ_EX, INST, OBJ
		return m.call(op)
	case 'b': // BUILD
		return m.build()
	case 'q', 'r', 'p', 0x94, 'h', 'j', 'g': // BINPUT, LONG_BINPUT, PUT, MEMOIZE, BINGET, LONG_BINGET, GET
		return m.remember(op)
	case '(', '0', '1', '2': // MARK, POP, POP_MARK, DUP
		return m.shuffle(op)
	case 't', 'l', 'd', 0x85, 0x86, 0x87, 'e', 'a', 's', 'u', 0x90, 0x91:
		// TUPLE, LIST, DICT, TUPLE1..3, APPENDS, APPEND, SETITEM, SETITEMS, ADDITEMS, FROZENSET
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
	case ']', 0x8f: // EMPTY_LIST, EMPTY_SET
		m.push(&list{})
	case '}': // EMPTY_DICT
		m.push(&dict{})
	case 'K', 'M', 'J', 0x8a, 0x8b: // BININT1, BININT2, BININT, LONG1, LONG4
		return m.integer(op)
	case 'G': // BINFLOAT, big-endian
		b, err := m.take(8)
		if err != nil {
			return err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 0x98: // READONLY_BUFFER: a remark on the bytes on top
	case 'I', 'L', 'F', 'S', 'V': // INT, LONG, FLOAT, STRING, UNICODE
		return m.line0(op)
	default:
		return m.bytesOrText(op)
	}
	return nil
}

// lengths are the sizes in bytes of the lengths before texts and bytes.
var lengths = map[byte]int{
	'X': 4, 0x8c: 1, 0x8d: 8, // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
	'T': 4, 'U': 1, // BINSTRING, SHORT_BINSTRING: Python 2's strings, bytes of an unknown encoding
	'B': 4, 'C': 1, 0x8e: 8, 0x96: 8, // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
}

// bytesOrText pushes a value whose length stands before it.
func (m *machine) bytesOrText(op byte) error {
	width, known := lengths[op]
	if !known {
		return errors.New("not an opcode that checkpoints have")
	}
	n, err := m.uint(width)
	if err != nil {
		return err
	}
	if n > uint64(len(m.program)-m.pc) {
		return fmt.Errorf("%d bytes of text: pickle ends: %w", n, io.ErrUnexpectedEOF)
	}
	b, err := m.take(int(n))
	if err != nil {
		return err
	}
	switch op {
	case 'B', 'C', 0x8e, 0x96:
		m.push(blob(b))
	case 'T', 'U':
		if n > maxString {
			m.push(blob(b)) // the numbers of an array
			return nil
		}
		return m.pushString(string(b))
	default:
		if n > maxString {
			m.push(text(b))
			return nil
		}
		return m.pushString(string(b))
	}
	return nil
}

func (m *machine) pushString(s string) error {
	m.push(s)
	return m.charge(len(s) / 64)
}

// integer pushes a little-endian number of the opcode's width; BININT, LONG1 and LONG4 are signed. A number of more than 8
// bytes, such as the unsigned 64-bit seeds of Python, is huge unless the rest only repeats the sign.
func (m *machine) integer(op byte) error {
	width, signed := map[byte]int{'K': 1, 'M': 2, 'J': 4}[op], op != 'K' && op != 'M'
	if width == 0 {
		n, err := m.uint(map[byte]int{0x8a: 1, 0x8b: 4}[op])
		if err != nil {
			return err
		}
		width = int(n) // up to 4 GiB, which take refuses
	}
	b, err := m.take(width)
	if err != nil {
		return err
	}
	var buf [8]byte
	copy(buf[:], b)
	v := int64(binary.LittleEndian.Uint64(buf[:]))
	if signed && 0 < width && width < 8 {
		shift := 64 - 8*width
		v = v << shift >> shift
	}
	if width > 8 {
		sign := byte(v >> 63)
		for _, c := range b[8:] {
			if c != sign {
				m.push(huge{})
				return nil
			}
		}
	}
	m.push(v)
	return nil
}

// global pushes a name, read from the program, from two strings on the stack, or the number of an extension.
func (m *machine) global(op byte) error {
	var module, name string
	var err error
	switch op {
	case 'c':
		module, name, err = m.lines()
	case 0x93:
		if name, err = pop[string](m); err == nil {
			module, err = pop[string](m)
		}
	default:
		module = "copyreg extension"
		_, err = m.take(map[byte]int{0x82: 1, 0x83: 2, 0x84: 4}[op])
	}
	if err != nil {
		return err
	}
	m.push(global(module + " " + name))
	return m.charge((len(module) + len(name)) / 64)
}

func (m *machine) lines() (first, second string, err error) {
	a, err := m.line()
	if err != nil {
		return "", "", err
	}
	b, err := m.line()
	return string(a), string(b), err
}

// build gives the value on top its state.
func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.top()
	switch v := v.(type) {
	case *object:
		v.state = state
	case *dict:
		v.state = state
	}
	return err // attributes of anything else say nothing about weights
}

// remember puts the top of the stack into the memo, or gets from there.
func (m *machine) remember(op byte) error {
	index := uint64(len(m.memo)) // MEMOIZE
	var err error
	switch op {
	case 'q', 'h':
		index, err = m.uint(1)
	case 'r', 'j':
		index, err = m.uint(4)
	case 'p', 'g':
		index, err = m.lineUint()
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' || op == 'g' {
		v, ok := m.memo[uint32(index)]
		if !ok {
			return fmt.Errorf("memo has no entry %d", index)
		}
		m.push(v)
		return nil
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	m.memo[uint32(index)] = v
	return nil
}

// shuffle marks, drops or doubles what is on the stack.
func (m *machine) shuffle(op byte) error {
	switch op {
	case '(':
		m.push(mark{})
		return nil
	case '0':
		_, err := m.pop()
		return err
	case '1':
		_, err := m.popMark()
		return err
	}
	v, err := m.top()
	if err == nil {
		m.push(v)
	}
	return err
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
	case 'a', 'e', 0x90:
		return m.appendTo(items)
	case 's', 'u':
		return m.setItems(items)
	case 'l', 0x91:
		m.push(&list{items})
	case 'd':
		m.push(&dict{})
		return m.setItems(items)
	default:
		m.push(tuple(items))
	}
	return nil
}

// appendTo adds items to the list on top.
func (m *machine) appendTo(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *list:
		v.items = append(v.items, items...)
	case *object:
		v.items = append(v.items, items...)
	default:
		return fmt.Errorf("on a %s", kind(v))
	}
	return nil
}

// setItems sets key, value, key, value... in the dictionary on top.
func (m *machine) setItems(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	var entries *[]dictEntry
	switch v := v.(type) {
	case *dict:
		entries = &v.entries
	case *object:
		entries = &v.entries
	default:
		return fmt.Errorf("on a %s", kind(v))
	}
	if len(items)%2 != 0 {
		return errors.New("key without value")
	}
	for i := 0; i < len(items); i += 2 {
		*entries = append(*entries, dictEntry{items[i], items[i+1]})
	}
	return nil
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

var errEmpty = errors.New("stack is empty")

// pop takes the topmost value.
func (m *machine) pop() (any, error) {
	v, err := m.top()
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

// top looks at the topmost value.
func (m *machine) top() (any, error) {
	if len(m.stack) == 0 {
		return nil, errEmpty
	}
	return m.stack[len(m.stack)-1], nil
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

// take reads the next n bytes of the program.
func (m *machine) take(n int) ([]byte, error) {
	if n < 0 || len(m.program)-m.pc < n {
		return nil, fmt.Errorf("pickle ends: %w", io.ErrUnexpectedEOF)
	}
	b := m.program[m.pc : m.pc+n : m.pc+n]
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

// uint reads a little-endian number of up to 8 bytes.
func (m *machine) uint(width int) (uint64, error) {
	b, err := m.take(width)
	if err != nil {
		return 0, err
	}
	var buf [8]byte
	copy(buf[:], b)
	return binary.LittleEndian.Uint64(buf[:]), nil
}

// line reads up to the next newline, which it drops.
func (m *machine) line() ([]byte, error) {
	rest := m.program[m.pc:]
	n := bytes.IndexByte(rest[:min(len(rest), maxLine)], '\n')
	if n < 0 {
		return nil, fmt.Errorf("no newline, pickle ends: %w", io.ErrUnexpectedEOF)
	}
	b, err := m.take(n + 1)
	return b[:max(n, 0)], err
}
