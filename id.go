package resnet18cloud

import (
	"errors"
	"fmt"
	"strings"
)

// ErrID is returned for a request ID that is not a UUID.
var ErrID = errors.New("request id is not a UUID")

// ParseID parses a request ID sent by a client. Request IDs are UUIDs of 36 characters, issued and stored in lower
// case; upper case is accepted and converted (RFC 9562, section 4). ok is false for any other text.
func ParseID(text string) (id string, ok bool) {
	if len(text) != idLength {
		return "", false
	}
	id = strings.ToLower(text)
	if CheckID(id) != nil {
		return "", false
	}
	return id, true
}

// CheckID returns an error that wraps [ErrID] unless id is a UUID in canonical form: 36 lower-case characters, as in
// f18d7c0a-e37f-4f6c-b214-542dd751b0e3. Queues and stores use IDs in subjects and keys, where other text could have a
// special meaning, so they check every ID they receive.
func CheckID(id string) error {
	if len(id) != idLength {
		return fmt.Errorf("%w: got %d bytes", ErrID, len(id))
	}
	for i := range len(id) {
		c, want := id[i], "a hexadecimal digit"
		ok := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
		if i == 8 || i == 13 || i == 18 || i == 23 {
			ok, want = c == '-', "a hyphen"
		}
		if !ok {
			return fmt.Errorf("%w: byte %d is %q, want %s", ErrID, i, c, want)
		}
	}
	return nil
}

// idLength is the number of characters of a UUID.
const idLength = 36
