// Package netguard is the SSRF guard: it keeps connections to URLs that tenants choose out of Airlock's own network.
// A URL or an address comes in, and an error goes out if it must not be used. Guard.Control checks the address that
// is really dialed, because only that address tells where a name leads. The package sends no requests itself.
package netguard

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
)

// Guard allows connections to public addresses and to those in Allow. The zero Guard allows only public addresses.
type Guard struct {
	Allow []netip.Prefix
}

// AllAddresses returns the value of Guard.Allow that allows every address.
func AllAddresses() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}

// BlockedError is the error for an address that the guard does not allow.
type BlockedError struct{ Addr netip.Addr }

func (e BlockedError) Error() string {
	return fmt.Sprintf("the host has the address %s, which is not public", e.Addr)
}

// Control is for net.Dialer.ControlContext. It checks each address after the name was resolved and before anything is
// sent, so a name server cannot lead a connection inwards by changing its answer.
func (g Guard) Control(_ context.Context, _, address string, _ syscall.RawConn) error {
	addrPort, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %q: %w", address, err)
	}
	return g.Check(addrPort.Addr())
}

// Check returns a BlockedError for an address that the guard does not allow.
func (g Guard) Check(addr netip.Addr) error {
	plain := addr.Unmap().WithZone("")
	for _, prefix := range g.Allow {
		if prefix.Contains(plain) {
			return nil
		}
	}
	if !IsPublic(plain) {
		return BlockedError{addr}
	}
	return nil
}
