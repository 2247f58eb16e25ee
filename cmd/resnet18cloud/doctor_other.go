//go:build !unix && !only_replica && !only_dispatcher

package main

// freeBytes is not known on this system.
func freeBytes(string) (uint64, bool) { return 0, false }

// descriptors is not known on this system.
func descriptors() uint64 { return 0 }
