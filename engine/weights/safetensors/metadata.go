package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// ReadMetadata reads the metadata at the beginning of a file, and nothing of its tensors.
func ReadMetadata(r io.Reader) (map[string]string, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("safetensors header of %d bytes, want at most %d", n, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	var header struct {
		Metadata map[string]string `json:"__metadata__"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	return header.Metadata, nil
}
