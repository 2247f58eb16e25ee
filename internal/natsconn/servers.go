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
)

// greetingTimeout is how long a server may take to send its greeting. If a server process is stopped, the kernel
// still accepts connections, but there is no greeting.
const greetingTimeout = 700 * time.Millisecond

// RespondingServers returns the IDs of the servers, known by configuration or from other servers, that send a
// greeting. It contacts each server directly, because servers that have lost their majority notice it only after ten
// seconds. It does not check an embedded server.
func (c *Conn) RespondingServers(ctx context.Context) []string {
	if c.embedded != nil {
		return nil
	}
	conn, _ := c.current()
	hosts := map[string]struct{}{}
	for _, text := range append(conn.Servers(), strings.Split(c.cfg.URL, ",")...) {
		if host := hostPort(text); host != "" {
			hosts[host] = struct{}{}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	var mu sync.Mutex
	ids := map[string]struct{}{}
	var all sync.WaitGroup
	for host := range hosts {
		all.Go(func() {
			if id := greeting(ctx, host); id != "" {
				mu.Lock()
				defer mu.Unlock()
				ids[id] = struct{}{}
			}
		})
	}
	all.Wait()
	list := make([]string, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	return list
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

// greeting returns the ID of the server at host, or an empty string if there is no greeting before ctx ends. The
// server sends first: "INFO {json}" (NATS client protocol).
func greeting(ctx context.Context, host string) string {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok && conn.SetReadDeadline(deadline) != nil {
		return ""
	}
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
