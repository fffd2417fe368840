// Package dialguard keeps connections to addresses that others chose out of
// the network that Airlock itself runs in: of a URL only the address that is
// really dialled tells where it leads.
package netguard

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
)

// Guard lets connections go to public addresses, and besides to those allowed.
// The zero Guard allows no other.
type Guard struct {
	Allow []netip.Prefix
}

// Everywhere is what Guard.Allow holds where no address is refused.
func AllAddresses() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}

// RefusedError says which address is not dialled.
type BlockedError struct{ Addr netip.Addr }

func (e BlockedError) Error() string {
	return fmt.Sprintf("the name resolves to %s, which is not a public address", e.Addr)
}

// Control is for net.Dialer.ControlContext. It sees each address after its name
// was resolved and before anything is sent there, so that no answer of a name
// server leads inwards, however often it changes.
func (g Guard) Control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %q: %w", address, err)
	}
	return g.Check(at.Addr())
}

// Check returns a RefusedError for an address that is not to be dialled.
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
