package sandbox

import (
	"fmt"
	"strconv"
	"strings"
)

// UIDRange is a range of user IDs of the host. The number of a user ID is also that of a group ID.
type UIDRange struct{ First, Last int }

// DefaultUIDs meet no other user of a usual Linux host. Users and services have IDs below 65536, subordinate IDs of
// shadow-utils (also Docker's userns-remap) are 100000 to 600100000, containers of systemd 524288 to 1879048191, users
// of SSSD 200000 to 2000200000, and systemd's foreign images begin at 2147352576. Docker accepts IDs up to maxUID.
var DefaultUIDs = UIDRange{First: 2_100_000_000, Last: 2_100_065_535}

const maxUID = 1<<31 - 1

// UnmarshalText reads a range of the form "first-last". Root's ID cannot be in it.
func (r *UIDRange) UnmarshalText(text []byte) error {
	first, last, found := strings.Cut(string(text), "-")
	low, err1 := strconv.Atoi(strings.TrimSpace(first))
	high, err2 := strconv.Atoi(strings.TrimSpace(last))
	if !found || err1 != nil || err2 != nil || low < 1 || high < low || high > maxUID {
		return fmt.Errorf("%q is not a range of user IDs, such as %s, from 1 to %d", text, DefaultUIDs, maxUID)
	}
	*r = UIDRange{First: low, Last: high}
	return nil
}

func (r UIDRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Size returns the number of IDs.
func (r UIDRange) Size() int { return r.Last - r.First + 1 }

// Contains reports whether an ID is in the range.
func (r UIDRange) Contains(uid int) bool { return uid >= r.First && uid <= r.Last }
