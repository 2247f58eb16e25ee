package harness

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// Ports are chosen below the kernel's range for outgoing connections (32768 and up on Linux): an outgoing connection
// could take the port of a server that is down for a moment. Each test process starts at a different port.
const (
	firstPort = 12000
	portRange = 20000
)

var nextPort atomic.Uint32

func init() { nextPort.Store(uint32(os.Getpid()) * 97 % portRange) }

// FreeAddr returns a loopback address without a listener, which it does not return again soon.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range portRange {
		port := firstPort + int(nextPort.Add(1)%portRange)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
