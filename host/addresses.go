package host

import "net/netip"

// notPublic are the networks of the IANA special-purpose address registries, RFC 6890 and what followed, that a request of a
// plugin has nothing to look for in, and where clouds keep what they tell a machine about itself.
var notPublic = prefixes( //nolint:gochecknoglobals // a constant table
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // Azure's wire server
	"2001::/23", "2001:db8::/32", "3fff::/20",
)

// global is where all public addresses of IP version 6 lie: RFC 4291, section 2.4.
var global = netip.MustParsePrefix("2000::/3") //nolint:gochecknoglobals // a constant

// nat64 and sixToFour hold addresses of version 4, behind the given number of bytes: RFC 6052 and RFC 3056.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") //nolint:gochecknoglobals // a constant
	sixToFour = netip.MustParsePrefix("2002::/16")    //nolint:gochecknoglobals // a constant
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// isPublic reports whether an address is one of the public Internet. One of version 6 that holds one of version 4 is as public as
// that.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap()
	if addr.Zone() != "" {
		return false
	}
	if addr.Is6() {
		b := addr.As16()
		switch {
		case nat64.Contains(addr):
			return isPublic(netip.AddrFrom4([4]byte(b[12:16])))
		case sixToFour.Contains(addr):
			return isPublic(netip.AddrFrom4([4]byte(b[2:6])))
		case !global.Contains(addr):
			return false
		}
	}
	return !inAny(notPublic, addr)
}

func inAny(networks []netip.Prefix, addr netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// allows reports whether the rule lets connections go to an address.
func (r *HTTPGrant) allows(addr netip.Addr) bool {
	plain := addr.Unmap()
	if plain.IsUnspecified() || plain.IsMulticast() || plain == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	return r.AllowPrivate || isPublic(addr) || inAny(r.Networks, plain)
}
