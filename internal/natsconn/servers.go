package natsconn

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// redialPause is the time between two attempts to get a greeting from an address.
const redialPause = 100 * time.Millisecond

// RespondingServers returns how many servers, of those known by configuration or from other servers, send a greeting before
// ctx ends. It returns as soon as there are enough. It contacts each server directly, because servers that have lost
// their majority notice it only after ten seconds. Each address is tried again until then: a server that refuses the
// connection may be starting, and one that has greeted may share its address with others. It does not check an embedded
// server, and returns -1 for servers behind WebSocket, which do not greet.
func (c *Conn) RespondingServers(ctx context.Context, enough int) int {
	if c.embedded != nil {
		return 0
	}
	conn, _ := c.current()
	hosts := map[string]struct{}{}
	for _, text := range append(conn.Servers(), strings.Split(c.cfg.URL, ",")...) {
		if scheme, _, found := strings.Cut(strings.TrimSpace(text), "://"); found && (scheme == "ws" || scheme == "wss") {
			return -1
		}
		if host := hostPort(text); host != "" {
			hosts[host] = struct{}{}
		}
	}
	return rollCall(ctx, hosts, enough, new(net.Dialer).DialContext)
}

// dialFunc opens a connection, as [net.Dialer.DialContext] does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// rollCall counts servers by the IDs in their greetings: several hosts may lead to the same server, and each connection to one host,
// such as a load balancer, to another server.
func rollCall(ctx context.Context, hosts map[string]struct{}, enough int, dial dialFunc) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	ids := map[string]struct{}{}
	var all sync.WaitGroup
	for host := range hosts {
		all.Go(func() {
			for ; ctx.Err() == nil; pause.For(ctx, redialPause) {
				id := greeting(ctx, host, dial)
				if id == "" {
					continue
				}
				mu.Lock()
				if ids[id] = struct{}{}; len(ids) >= enough {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return min(len(ids), enough) // others may have greeted at the same moment
}

// hostPort returns the address in a NATS URL.
func hostPort(text string) string {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "4222")
	}
	return u.Host
}

// greeting returns the ID of the server at host, or an empty string if the connection fails or ctx ends before its greeting.
// The server sends first: "INFO {json}" (NATS client protocol). If a server process is stopped, the kernel still accepts
// connections, but there is no greeting.
func greeting(ctx context.Context, host string, dial dialFunc) string {
	conn, err := dial(ctx, "tcp", host)
	if err != nil {
		return ""
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // ends the read
	line, err := bufio.NewReaderSize(conn, 64<<10).ReadSlice('\n')
	if err != nil {
		return ""
	}
	var info struct {
		ServerID string `json:"server_id"`
	}
	text, isInfo := strings.CutPrefix(string(line), "INFO ")
	if !isInfo || json.Unmarshal([]byte(text), &info) != nil {
		return ""
	}
	return info.ServerID
}
