//go:build !linux

package engine

// lowerPriority does nothing: elsewhere priorities belong to processes.
func lowerPriority() {}
