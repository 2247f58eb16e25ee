package httpx

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
)

// Guard protects a server from web pages that its users visit. A page of another site may send requests to any address
// that the browser reaches, including those of the user's own machine. The zero value allows what the server's own page
// and clients other than browsers need:
//
//   - On a loopback address, Host must name this machine. A page that has its own name resolved to 127.0.0.1 ("DNS
//     rebinding") would be of the same origin as the server, and could read everything.
//   - Requests with effects, such as POST, are refused if they come from a page of another origin, as a form can send
//     them without asking ([http.CrossOriginProtection]).
//   - No other origin may read responses (CORS).
//
// Responses may not be interpreted as another content type, and are not stored by browsers and proxies unless the
// handler says otherwise.
type Guard struct {
	// Hosts are additional names in Host for requests to a loopback address, such as that of a proxy on this machine,
	// without ports. "*" allows any.
	Hosts []string
	// Origins are the origins of web pages that may use the API, such as "https://example.com". "*" allows any.
	Origins []string
}

// anything is the entry of a list that allows everything.
const anything = "*"

// Validate returns an error if an origin or a host is not one.
func (g Guard) Validate() error {
	for _, o := range g.Origins {
		u, err := url.Parse(o)
		if o != anything && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o) {
			return fmt.Errorf("origin %q: want scheme and host without a path, such as https://example.com, or *", o)
		}
	}
	for _, h := range g.Hosts {
		if h != anything && (h == "" || strings.ContainsAny(h, "/:*@ ")) {
			return fmt.Errorf("host %q: want a name without scheme and port, such as photos.example.com, or *", h)
		}
	}
	return nil
}

// Handler returns a handler that checks requests before next handles them. It refuses with 403 and an [ErrorBody].
func (g Guard) Handler(log *slog.Logger, next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	for _, o := range g.Origins {
		_ = protection.AddTrustedOrigin(o) // Validate has checked it; "*" is not an origin
	}
	return Handler(log, func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if err := g.checkHost(local, r.Host); err != nil {
			return err
		}
		origin := r.Header.Get("Origin")
		if g.allows(origin) {
			g.openTo(h, origin)
		} else if err := protection.Check(r); err != nil {
			return errCrossSite(origin, err)
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			return g.preflight(w, origin)
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// checkHost returns an error if a request to the local address has a Host that does not name this machine.
func (g Guard) checkHost(local net.Addr, host string) error {
	addr, ok := local.(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() || host == "" { // browsers always send a Host
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(hostname(host), "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return nil
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	if slices.ContainsFunc(g.Hosts, func(h string) bool { return h == anything || strings.EqualFold(h, name) }) {
		return nil
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeForbidden,
		Message: fmt.Sprintf("Host %s is not this machine", quoted(name)),
		Hint:    "use localhost in the URL; if a proxy sends this name, start the server with --allow-host and the name"}
}

// hostname returns the host of a Host header, without port and brackets.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// quoted quotes what a client has sent, shortened.
func quoted(s string) string {
	const longest = 100
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}

// allows reports whether pages of the origin may use the API.
func (g Guard) allows(origin string) bool {
	return origin != "" && (slices.Contains(g.Origins, origin) || slices.Contains(g.Origins, anything))
}

// openTo lets pages of the origin read the response (Fetch Standard, section 3.3).
func (g Guard) openTo(h http.Header, origin string) {
	if slices.Contains(g.Origins, anything) {
		origin = anything
	} else {
		h.Add("Vary", "Origin")
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Location, Preference-Applied, Retry-After, Server-Timing, Traceparent, X-Cache, X-Request-Id")
}

// pageHeaders are the request headers that the servers read and that browsers ask about before a page may send them.
const pageHeaders = "Accept, Authorization, Content-Disposition, Content-Encoding, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, " +
	"Traceparent, Tracestate, X-Batch-Webhook, X-Priority, X-Request-Id, X-Request-Timeout, X-Webhook"

// preflight answers a browser that asks whether a page may send a request.
func (g Guard) preflight(w http.ResponseWriter, origin string) error {
	if !g.allows(origin) {
		return errCrossSite(origin, nil)
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", pageHeaders)
	h.Set("Access-Control-Max-Age", "600") // seconds
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// errCrossSite refuses a request from a page of another site.
func errCrossSite(origin string, cause error) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeForbidden,
		Message: fmt.Sprintf("Web pages of %s may not use this server", quoted(cmp.Or(origin, "other sites"))),
		Hint:    "to allow them, start the server with --cors-origin and the origin", Err: cause}
}
