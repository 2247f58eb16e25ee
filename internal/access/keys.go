package access

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Key is one line of a keys file. Several keys may have the same name: while a token is being replaced, both are valid.
type Key struct {
	Client
	Hash Hash
}

// String returns the key as a line of a keys file.
func (k Key) String() string {
	line := fmt.Sprintf("%s %s %s", k.Name, k.Scopes, k.Hash)
	if k.Rate > 0 {
		line += " rate=" + strconv.FormatFloat(k.Rate, 'f', -1, 64)
	}
	if k.InFlight > 0 {
		line += " in-flight=" + strconv.Itoa(k.InFlight)
	}
	return line
}

// Keys is a list of keys. It is not changed after it was parsed, so it is safe for concurrent use.
type Keys []Key

// maxKeys limits the keys of one process, because each request is compared with all of them: 1000 take less than 0.1 ms.
const maxKeys = 10_000

// maxProblems limits the problems of a file that are reported at a time.
const maxProblems = 10

// Parse parses a keys file. Each line has a name, scopes, the hash of a token, and optional limits of the client:
//
//	# comment
//	shop   predict       sha256:9f86d081...  rate=50 in-flight=100
//	ops    read,admin    sha256:60303ae2...
//
// Errors name the file and the line, and never repeat what is in it.
func Parse(file string, data []byte) (Keys, error) {
	var keys Keys
	var problems []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text, _, _ := bytes.Cut(line, []byte("#"))
		fields := strings.Fields(string(text))
		if len(fields) == 0 {
			continue
		}
		k, err := parseKey(fields)
		if !utf8.Valid(text) {
			err = errors.New("the line is not UTF-8 text")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", file, number, err))
		}
		if keys = append(keys, k); len(problems) == maxProblems {
			break
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if err := keys.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// parseKey parses the fields of a line.
func parseKey(fields []string) (Key, error) {
	var k Key
	if len(fields) < 3 {
		return k, errors.New("a line must have a name, scopes and the hash of a token: NAME SCOPES sha256:HASH")
	}
	if err := CheckName(fields[0]); err != nil {
		return k, err
	}
	k.Name = fields[0]
	var err error
	if k.Scopes, err = ParseScopes(fields[1]); err != nil {
		return k, err
	}
	if k.Hash, err = parseHash(fields[2]); err != nil {
		return k, err
	}
	for _, field := range fields[3:] {
		if err := k.parseLimit(field); err != nil {
			return k, err
		}
	}
	return k, nil
}

// Limits on limits, so that arithmetic with them cannot overflow.
const (
	maxRate     = 1e6
	maxInFlight = 1e6
)

// parseLimit parses rate=50 or in-flight=100.
func (k *Key) parseLimit(field string) error {
	name, value, _ := strings.Cut(field, "=")
	switch name {
	case "rate":
		rate, err := strconv.ParseFloat(value, 64)
		if err != nil || !(rate > 0 && rate <= maxRate) || math.IsNaN(rate) {
			return errors.New("rate must be a number of images per second above 0: rate=50")
		}
		k.Rate = rate
	case "in-flight":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxInFlight {
			return errors.New("in-flight must be a number of requests of at least 1: in-flight=100")
		}
		k.InFlight = n
	default:
		return errors.New("after the hash, only rate= and in-flight= may follow")
	}
	return nil
}

// check checks the relations between keys. A token belongs to one line, and limits to a name.
func (keys Keys) check() error {
	if len(keys) > maxKeys {
		return fmt.Errorf("%d keys, want at most %d", len(keys), maxKeys)
	}
	byHash, byName := make(map[Hash]string, len(keys)), make(map[string]Client, len(keys))
	for _, k := range keys {
		if other, twice := byHash[k.Hash]; twice {
			return fmt.Errorf("the keys of %s and %s have the same token: each key needs its own", other, k.Name)
		}
		byHash[k.Hash] = k.Name
		if first, twice := byName[k.Name]; twice && (first.Rate != k.Rate || first.InFlight != k.InFlight) {
			return fmt.Errorf("the keys of %s have different limits: give each of them the same rate= and in-flight=", k.Name)
		}
		byName[k.Name] = k.Client
	}
	return nil
}

// Find returns the client with the token. It compares the token with every key, so that the time it takes depends only
// on the number of keys.
func (keys Keys) Find(token string) (c Client, ok bool) {
	hash := HashOf(token)
	found := -1
	for i := range keys {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(keys[i].Hash[:], hash[:]), i, found)
	}
	if found < 0 {
		return Client{}, false
	}
	return keys[found].Client, true
}
