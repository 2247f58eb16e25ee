//go:build !linux

package engine

import (
	"errors"
	"os"
)

func newShared(int) (*os.File, []byte, error) { return nil, nil, errors.ErrUnsupported }

func seal(*os.File, []byte, int) error { return errors.ErrUnsupported }

func openShared(*os.File) ([]byte, error) { return nil, errors.ErrUnsupported }

func newPrivate(int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) error { return nil }
