package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// maxWait bounds a long poll.
const maxWait = time.Minute

// wait is how long a caller wants to wait for the end of an execution.
// applied is what to say of its preference; empty where it has none.
func requestedWait(params contract.GetExecutionParams, header http.Header) (d time.Duration, applied string, err error) {
	if params.Wait != "" {
		if d, err = time.ParseDuration(params.Wait); err != nil || d < 0 || d > maxWait {
			return 0, "", invalidRequest(fieldError("wait", "must be a duration up to 60s, such as 30s"))
		}
		return d, "", nil
	}
	if d, ok := preferredWait(header.Values("Prefer")); ok {
		return d, fmt.Sprintf("wait=%d", int(d.Seconds())), nil
	}
	return 0, "", nil
}

// preferredWait finds wait=N among preferences (RFC 7240). One that cannot be
// read is none: a preference is never an error.
func preferredWait(preferences []string) (time.Duration, bool) {
	for _, header := range preferences {
		for preference := range strings.SplitSeq(header, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0, false
			}
			return min(time.Duration(seconds)*time.Second, maxWait), true
		}
	}
	return 0, false
}
