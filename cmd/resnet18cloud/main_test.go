package main

import (
	"fmt"
	"os"
	"testing"
)

// asProgram has the test's binary be the program: up starts its replicas from its own executable.
const asProgram = "TEST_RESNET18CLOUD_AS_PROGRAM"

// userCache is the variable with the cache folder before TestMain changes it, for tests that run the go command.
var userCache = "XDG_CACHE_HOME=" + os.Getenv("XDG_CACHE_HOME")

// TestMain gives tests a cache folder of their own, without weights.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	dir, err := os.MkdirTemp("", "resnet18cloud-cmd")
	if err == nil {
		err = os.Setenv("XDG_CACHE_HOME", dir)
	}
	if err == nil {
		err = os.Setenv(asProgram, "1")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}
