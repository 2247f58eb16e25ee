package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// tokenPrefix begins each token, so that people and secret scanners recognize it.
const tokenPrefix = "r18_"

// tokenBytes is the number of random bytes in a token.
const tokenBytes = 32

// NewToken returns a new token: the prefix r18_ and 256 random bits in base64url, 47 characters in total.
func NewToken() string {
	var random [tokenBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

func looksLikeToken(text string) bool { return strings.HasPrefix(text, tokenPrefix) }

// Hash is the SHA-256 of a token. A slow hash, as for passwords, would add nothing: nobody can try 2^256 tokens.
type Hash [sha256.Size]byte

// HashOf returns the hash of a token.
func HashOf(token string) Hash { return sha256.Sum256([]byte(token)) }

// hashPrefix names the function, so that a file can hold hashes of another one later.
const hashPrefix = "sha256:"

// String returns the hash as it is written in a keys file: sha256: and 64 hexadecimal digits.
func (h Hash) String() string { return hashPrefix + hex.EncodeToString(h[:]) }

// errHash does not repeat the text: it may be a token in the wrong place.
var errHash = errors.New("a key must be sha256: and 64 hexadecimal digits, as 'resnet18cloud keys new' prints it")

var errTokenInFile = errors.New("there is a token where its hash belongs: make a new key with 'resnet18cloud keys new', because a token must not be written down here")

func parseHash(text string) (Hash, error) {
	var h Hash
	if looksLikeToken(text) {
		return h, errTokenInFile
	}
	digits, ok := strings.CutPrefix(text, hashPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(h)) {
		return h, errHash
	}
	if _, err := hex.Decode(h[:], []byte(digits)); err != nil {
		return h, errHash
	}
	return h, nil
}
