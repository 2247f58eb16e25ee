package harness

import (
	"fmt"
	"net"
	"sync"
	"testing"
)

// Ports are chosen below the kernel's range for outgoing connections (32768 and up on Linux): an outgoing connection
// could take the port of a server that is down for a moment.
//
// Test processes that run at the same time must not choose the same port either. So each port belongs to a block, and a
// process takes ports only from blocks that it owns: while it runs, it listens at the first port of each of them.
const (
	firstPort = 12000
	blockSize = 100
	blocks    = 180 // up to port 29999, as Kubernetes' node ports follow
)

var owned struct {
	sync.Mutex
	next   int            // the next port of the last block; guarded by the mutex
	left   int            // how many ports of that block were not returned; guarded by the mutex
	claims []net.Listener // of all blocks, until the process ends; guarded by the mutex
}

// FreeAddr returns a loopback address without a listener. It returns each address once, and to one process on this
// machine.
func FreeAddr(t testing.TB) string {
	t.Helper()
	owned.Lock()
	defer owned.Unlock()
	for {
		if owned.left == 0 && !claimBlock() {
			t.Fatalf("no port from %d to %d is free", firstPort, firstPort+blocks*blockSize-1)
		}
		addr := loopback(owned.next)
		owned.next++
		owned.left--
		// To listen there and close would not do: a process that another test is starting has a copy of the socket until it
		// executes its program.
		conn, err := net.Dial("tcp", addr) //nolint:noctx // loopback answers at once
		if err != nil {
			return addr
		}
		_ = conn.Close()
	}
}

// claimBlock takes the next block that no process owns, and reports whether there was one. owned must be locked.
func claimBlock() bool {
	for b := range blocks {
		first := firstPort + b*blockSize
		if l, err := net.Listen("tcp", loopback(first)); err == nil {
			owned.claims = append(owned.claims, l)
			owned.next, owned.left = first+1, blockSize-1
			return true
		}
	}
	return false
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
