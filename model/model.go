// Package model finds, fetches, converts, quantizes and verifies weight files. It is the only package that downloads
// files: torchvision's published weights, or those of a mirror (a folder or server with a models.json). The result is one
// safetensors file in the user's cache folder, whose metadata name its source. Commands call it; engine/weights reads
// the files.
package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// fileName is the name of the cached weights.
const fileName = "resnet18.safetensors"

// ErrNone means that no weights were found. The error that wraps it names the places searched and the command that
// fetches weights.
var ErrNone = errors.New("no weights found")

// CacheDir is the user's folder for weights, such as ~/.cache/resnet18cloud. It need not exist.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	return filepath.Join(dir, "resnet18cloud"), nil
}

// CachePath is where Pull writes weights and Find looks for them: a file in CacheDir.
func CachePath() (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, fileName), nil
}

// Find returns the path of the weights to use: path if it is not empty (the flag --model or the variable
// RESNET18_MODEL), else the cached file. If there is neither, the error wraps ErrNone; a path that does
// not exist is another error.
func Find(path string) (string, error) {
	if path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("weight file of --model or RESNET18_MODEL: %w", err)
		}
		return path, nil
	}
	cached, err := CachePath()
	if err != nil {
		return "", fmt.Errorf("%w: neither --model nor RESNET18_MODEL is set, and %w", ErrNone, err)
	}
	if _, err := os.Stat(cached); err != nil {
		return "", fmt.Errorf("%w: neither --model nor RESNET18_MODEL is set, and %s does not exist; to fetch weights, run: "+
			"resnet18cloud model pull", ErrNone, cached)
	}
	return cached, nil
}
