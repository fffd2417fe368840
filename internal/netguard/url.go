package netguard

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
)

// maxURLLength is the longest URL that all common browsers and proxies support, in bytes.
const maxURLLength = 2048

// CheckURL validates the URL of a webhook. The error completes a sentence that begins with the name of the field,
// such as "must use https". CheckURL does not resolve names: Guard.Control checks their addresses when they are
// dialed. It allows http only if the guard allows addresses besides the public ones.
func CheckURL(text string, guard Guard) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURLLength:
		return fmt.Errorf("has more than %d bytes", maxURLLength)
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be an https URL, such as https://example.com/hooks/airlock")
	case u.Scheme == "http" && len(guard.Allow) == 0:
		return errors.New("must use https")
	case u.User != nil || u.Fragment != "":
		return errors.New("must have neither user nor fragment; use the signature for authentication")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("has an invalid port")
		}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && guard.Check(addr) != nil {
		return errors.New("must have a public address")
	}
	return nil
}
