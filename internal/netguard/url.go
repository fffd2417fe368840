package netguard

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
)

// maxURL is what browsers and proxies agree on, in bytes.
const maxURL = 2048

// CheckURL says what is wrong with where a tenant wants to be told, for people;
// nothing when it may be tried. Where a name leads is seen when it is dialled.
// Unencrypted http is for who allows addresses of their own.
func CheckURL(text string, guard Guard) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return fmt.Errorf("has more than %d bytes", maxURL)
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be an https URL, such as https://example.com/hooks/airlock")
	case u.Scheme == "http" && len(guard.Allow) == 0:
		return errors.New("must use https")
	case u.User != nil || u.Fragment != "":
		return errors.New("must have neither user nor fragment; every message is signed")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("has no valid port")
		}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && guard.Check(addr) != nil {
		return errors.New("must lead to a public address")
	}
	return nil
}
