// Package model finds, fetches, converts and checks weight files: the only place that downloads anything. It
// knows torchvision's published weights and mirrors of our own (folders or servers with a models.json), and
// leaves one safetensors file in the user's cache, which says in its metadata what it was made from. Commands
// call it; engine/weights reads the files.
package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// fileName is the cached weights' name: one network, so one file, whatever it was made from.
const fileName = "resnet18.safetensors"

// ErrNone means that there are no weights in any of the places that are searched. The error that wraps it
// names the places and the command that fetches weights.
var ErrNone = errors.New("no weights found")

// CacheDir is the user's folder for weights, such as ~/.cache/resnet18cloud. It need not exist.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("user's cache folder: %w", err)
	}
	return filepath.Join(dir, "resnet18cloud"), nil
}

// CachePath is where Pull leaves weights and Find looks for them: a file in CacheDir.
func CachePath() (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, fileName), nil
}

// Find returns the path of the weights to use: path if it is not empty (the flag --model or the variable
// RESNET18_MODEL), else the cached file. Without either the error wraps ErrNone; a path that leads nowhere is
// another error, as its user meant something.
func Find(path string) (string, error) {
	if path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("weights named by --model or RESNET18_MODEL: %w", err)
		}
		return path, nil
	}
	cached, err := CachePath()
	if err != nil {
		return "", fmt.Errorf("%w: neither --model nor RESNET18_MODEL is given, and %w", ErrNone, err)
	}
	if _, err := os.Stat(cached); err != nil {
		return "", fmt.Errorf("%w: neither --model nor RESNET18_MODEL is given, and %s is not there; fetch weights with: "+
			"resnet18cloud model pull", ErrNone, cached)
	}
	return cached, nil
}
