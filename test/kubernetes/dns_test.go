//go:build kubernetes

package kubernetes

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// serveDNS resolves Services to the addresses of their ready endpoints, like a cluster's name server does for
// headless ones, until the end of the test.
func (c *cluster) serveDNS(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", net.JoinHostPort(nameServer, "53"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	ctx := context.WithoutCancel(t.Context())
	go func() {
		defer close(done)
		question := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(question)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error("name server:", err)
				return
			}
			if answer, err := c.answer(ctx, question[:n]); err != nil {
				t.Error("name server:", err)
			} else if _, err := conn.WriteTo(answer, from); err != nil {
				t.Log("name server:", err)
			}
		}
	}()
}

func (c *cluster) answer(ctx context.Context, packet []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	service, ok := strings.CutSuffix(q.Name.String(), "."+namespace+".svc.cluster.local.")
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	addresses, err := c.readyAddresses(ctx, service)
	if err != nil {
		m.RCode = dnsmessage.RCodeServerFailure
		return m.Pack()
	}
	for _, address := range addresses {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 5},
				Body:   &dnsmessage.AResource{A: address.As4()}})
		}
	}
	return m.Pack()
}

// readyAddresses returns the addresses that the controller manager has found for the Service.
func (c *cluster) readyAddresses(ctx context.Context, service string) ([]netip.Addr, error) {
	slices, err := list[discoveryv1.EndpointSlice](ctx, c, "EndpointSlice", discoveryv1.LabelServiceName+"="+service)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				address, err := netip.ParseAddr(endpoint.Addresses[0])
				if err != nil {
					return nil, err
				}
				found = append(found, address)
			}
		}
	}
	return found, nil
}
