package weights

import (
	"strings"
	"unicode"
)

// maxPrinted bounds a text of a file in bytes where it is printed.
const maxPrinted = 2000

// printable makes a text from a file fit to be printed: control characters, which a terminal would obey, become question marks.
func printable(text string) string {
	if len(text) > maxPrinted {
		text = text[:maxPrinted] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// fileError is an error about a file, whose text may quote it.
type fileError struct{ error }

func (e fileError) Error() string { return printable(e.error.Error()) }
func (e fileError) Unwrap() error { return e.error }
