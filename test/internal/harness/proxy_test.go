package harness

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestHold checks that a proxy holds bytes back in both directions, for old and new connections, and loses none.
func TestHold(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }() // ends with the connection
		}
	}()
	t.Cleanup(func() { _ = echo.Close(); <-served })
	p := NewProxy(t, echo.Addr().String(), 1)
	old := dial(t, p)
	say(t, old, "before")
	p.Hold()
	fresh := dial(t, p)
	for _, conn := range []net.Conn{old, fresh} {
		if _, err := conn.Write([]byte("during")); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 10)); err == nil {
			t.Fatalf("read %d bytes while the proxy holds", n)
		}
	}
	p.Release()
	for _, conn := range []net.Conn{old, fresh} {
		hear(t, conn, "during")
		say(t, conn, "after")
	}
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	hear(t, conn, text)
}

func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}
