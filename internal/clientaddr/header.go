package clientaddr

import (
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many entries at the end of a list are read. Longer chains of proxies do not exist.
const maxHops = 32

// parseXFF returns the addresses in the lines of X-Forwarded-For, at most the last maxHops. An entry that is not an
// address becomes an invalid one.
func parseXFF(lines []string) []netip.Addr {
	var hops []netip.Addr
	for _, line := range slices.Backward(lines) {
		for line, more := line, true; more; {
			var entry string
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, entry = line[:i], line[i+1:]
			} else {
				entry, more = line, false
			}
			if hops = append(hops, parseNode(strings.TrimSpace(entry))); len(hops) == maxHops {
				slices.Reverse(hops)
				return hops
			}
		}
	}
	slices.Reverse(hops)
	return hops
}

// parseForwarded returns the "for" addresses in the lines of Forwarded, at most the last maxHops. An element without an
// address becomes an invalid one, and so does a whole line that is not well-formed: the quotes of a client could hide
// what a proxy appended.
//
// The grammar is that of RFC 7239, section 4: elements are separated by commas, their pairs by semicolons, and a value
// is a token or a quoted string.
//
//	for=192.0.2.7;proto=https, For="[2001:db8::17]:4711"
func parseForwarded(lines []string) []netip.Addr {
	var hops []netip.Addr
	for _, line := range lines {
		elements, ok := splitForwarded(line)
		if !ok {
			elements = []netip.Addr{{}}
		}
		hops = append(hops, elements...)
	}
	return hops[max(0, len(hops)-maxHops):]
}

// splitForwarded returns the address of each element of a line. It reports false if the line is not well-formed.
func splitForwarded(line string) ([]netip.Addr, bool) {
	var hops []netip.Addr
	var hop netip.Addr
	for {
		line = strings.TrimLeft(line, " \t")
		name, rest, found := strings.Cut(line, "=")
		if !found || !isToken(name) {
			return nil, false
		}
		value, rest, ok := cutValue(rest)
		if !ok {
			return nil, false
		}
		if strings.EqualFold(name, "for") {
			hop = parseNode(value)
		}
		line = strings.TrimLeft(rest, " \t")
		switch {
		case line == "":
			return append(hops, hop), true
		case line[0] == ',':
			hops, hop = append(hops, hop), netip.Addr{}
		case line[0] != ';':
			return nil, false
		}
		line = line[1:]
	}
}

// cutValue cuts a token or a quoted string (RFC 9110, section 5.6) off the front of text.
func cutValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ",; \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], isToken(text[:end])
	}
	var unquoted []byte
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return string(unquoted), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		unquoted = append(unquoted, text[i])
	}
	return "", "", false
}

// isToken reports whether text is a token (RFC 9110, section 5.6.2). Colons and brackets are allowed too, because some
// proxies do not quote addresses with a port.
func isToken(text string) bool {
	bad := strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~:[]", r)
	})
	return text != "" && bad < 0
}

// parseNode parses an address with or without a port; an IPv6 address may be in brackets. The result is invalid for
// anything else, such as "unknown" and obfuscated names (RFC 7239, section 6).
func parseNode(text string) netip.Addr {
	if addr, err := netip.ParseAddrPort(text); err == nil {
		return plain(addr.Addr())
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}
		}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return plain(addr)
}
