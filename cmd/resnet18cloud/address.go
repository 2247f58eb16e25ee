package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// addressMappers are how options that hold addresses are read, by the type in their tags.
func addressMappers() []kong.Option {
	return []kong.Option{
		kong.NamedMapper("url", urlMapper{}),
		kong.NamedMapper("nats", natsMapper{}),
		kong.NamedMapper("listen", listenMapper{}),
		kong.NamedMapper("listen-or-none", listenMapper{none: "-"}),
	}
}

// plain decodes texts and lists of texts as kong does.
var plain = kong.NewRegistry().RegisterDefaults()

// urlMapper reads URLs, and lists of them. Addresses such as 127.0.0.1:5000 are completed, other texts stay as they are: the
// command that uses them says what it wants.
type urlMapper struct{}

// Decode implements kong.Mapper.
func (urlMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if err := plain.ForType(target.Type()).Decode(ctx, target); err != nil {
		return err
	}
	if target.Kind() != reflect.Slice {
		target.SetString(asURL(target.String(), "http://"))
		return nil
	}
	for i := range target.Len() {
		target.Index(i).SetString(asURL(target.Index(i).String(), "http://"))
	}
	return nil
}

// natsMapper reads URLs of NATS servers, separated by commas, in one text. Addresses are completed.
type natsMapper struct{}

// Decode implements kong.Mapper.
func (natsMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if err := plain.ForType(target.Type()).Decode(ctx, target); err != nil {
		return err
	}
	servers := strings.Split(target.String(), ",")
	for i, s := range servers {
		servers[i] = asURL(strings.TrimSpace(s), "nats://")
	}
	target.SetString(strings.Join(servers, ","))
	return nil
}

// listenMapper reads TCP addresses to listen on. none, unless empty, is what stands for no address; an empty variable of the
// environment is none too.
type listenMapper struct{ none string }

// Decode implements kong.Mapper.
func (m listenMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if err := plain.ForType(target.Type()).Decode(ctx, target); err != nil {
		return err
	}
	text := target.String()
	if text == "" || text == m.none {
		return nil
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // a number, or a name of /etc/services
	}
	if err != nil {
		return fmt.Errorf("%q: want an address to listen on, such as 127.0.0.1:8080, or :8080 for other machines too", text)
	}
	return nil
}

// asURL completes an address such as 127.0.0.1:5000 to a URL. Others are returned as they are.
func asURL(text, scheme string) string {
	if text == "" || strings.Contains(text, "://") {
		return text
	}
	host, port, err := net.SplitHostPort(strings.SplitN(text, "/", 2)[0])
	if err != nil || strings.Contains(host, "+") { // such as dns+http without its slashes
		return text
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return text
	}
	if host == "" {
		return scheme + "127.0.0.1" + text
	}
	return scheme + text
}

// server parses the base URL of a server. The error is one of the command line: it names the option and shows an example.
func server(option, base, example string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, badUsage(fmt.Errorf("%s %q: want a URL such as %s", option, base, example))
	}
	return u, nil
}

// checkPort returns an error that names the option if its value is no port. 0 means any free one.
func checkPort(option string, port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("%s %d: want 0 to 65535", option, port)
	}
	return nil
}
