//go:build chaos && !linux

package chaos

import "errors"

// mount fails: a tmpfs requires Linux.
func mount(string, int) error { return errors.New("a tmpfs needs Linux") }

func unmount(string) error { return nil }
