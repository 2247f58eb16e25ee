//go:build !linux

package resnet

// yield does nothing on other systems.
func yield() {}
