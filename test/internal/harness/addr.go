package harness

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// Ports are taken from below those that the kernel gives to outgoing connections (32768 and up on Linux): one of those
// would take the port of a server that is down for a moment. Each test process begins elsewhere.
const (
	firstPort = 12000
	portRange = 20000
)

var nextPort atomic.Uint32

func init() { nextPort.Store(uint32(os.Getpid()) * 97 % portRange) }

// FreeAddr is a loopback address on which nobody listens, and which it does not return again soon.
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
