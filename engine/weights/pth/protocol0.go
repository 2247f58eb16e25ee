package pth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// line0 pushes a value that protocol 0 writes as a line of text: "I42", "I01" (True), "L42L", "F0.5", "S'abc'", "Vabc".
func (m *machine) line0(op byte) error {
	b, err := m.line()
	if err != nil {
		return err
	}
	if err := m.charge(len(b) / 64); err != nil {
		return err
	}
	line := string(b)
	switch op {
	case 'I', 'L':
		return m.int0(line)
	case 'F':
		f, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return fmt.Errorf("number %.40q", line)
		}
		m.push(f)
	case 'S':
		s, err := unquote0(line)
		if err != nil {
			return err
		}
		m.push(s)
	case 'V':
		m.push(unicode0(line))
	}
	return nil
}

func (m *machine) int0(line string) error {
	switch line {
	case "00", "01":
		m.push(line == "01")
		return nil
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(line, "L"), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		m.push(huge{})
	case err != nil:
		return fmt.Errorf("number %.40q", line)
	default:
		m.push(n)
	}
	return nil
}

// lineUint reads a line with the index of a memo.
func (m *machine) lineUint() (uint64, error) {
	b, err := m.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("memo index %.40q", b)
	}
	return n, nil
}

// unquote0 undoes Python's repr of a string of bytes.
func unquote0(s string) (string, error) {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '\'' && s[0] != '"' {
		return "", fmt.Errorf("string %.40q lacks quotes", s)
	}
	s = s[1 : len(s)-1]
	var out strings.Builder
	for len(s) > 0 {
		if s[0] != '\\' || len(s) == 1 {
			out.WriteByte(s[0])
			s = s[1:]
			continue
		}
		if plain, ok := escapes0[s[1]]; ok {
			out.WriteByte(plain)
			s = s[2:]
			continue
		}
		if s[1] == 'x' && len(s) >= 4 {
			if n, err := strconv.ParseUint(s[2:4], 16, 8); err == nil {
				out.WriteByte(byte(n))
				s = s[4:]
				continue
			}
		}
		out.WriteByte('\\')
		s = s[1:]
	}
	return out.String(), nil
}

var escapes0 = map[byte]byte{'\\': '\\', '\'': '\'', '"': '"', 'n': '\n', 'r': '\r', 't': '\t'}

// unicode0 decodes raw-unicode-escape: latin-1, and for what that does not have \u with four or \U with eight hexadecimal digits.
func unicode0(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		digits := 0
		if s[0] == '\\' && len(s) > 1 {
			digits = map[byte]int{'u': 4, 'U': 8}[s[1]]
		}
		if digits > 0 && len(s) >= 2+digits {
			if n, err := strconv.ParseUint(s[2:2+digits], 16, 32); err == nil && n <= utf8.MaxRune {
				out.WriteRune(rune(n))
				s = s[2+digits:]
				continue
			}
		}
		out.WriteRune(rune(s[0]))
		s = s[1:]
	}
	return out.String()
}
