package agentruntime

import (
	"bytes"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
)

// resultKeeper is the sandbox.Keeper of the stream-json contract. It keeps the last result of the agent, which is one
// line, and drops the other lines: they may be many times as long as all that the agent has said.
type resultKeeper struct {
	lines     lineSplitter
	last      []byte
	truncated bool // the newest result, or what may have been one, was too long
}

// newResultKeeper returns a keeper of a result of at most limit bytes.
func newResultKeeper(limit int64) *resultKeeper {
	k := &resultKeeper{}
	k.lines = lineSplitter{limit: int(limit), onLine: func(line []byte, complete bool) {
		switch {
		case line[0] != '{' || complete && !bytes.Contains(line, []byte(streamjson.TypeResult)):
		case streamjson.EventType(line) == streamjson.TypeResult:
			k.last, k.truncated = append(k.last[:0], line...), !complete
		case !complete && streamjson.EventType(line) == "":
			k.truncated = true // its type comes after the cut
		}
	}}
	return k
}

func (k *resultKeeper) Keep(part []byte) { k.lines.write(part) }

// Settled reports whether there is a result.
func (k *resultKeeper) Settled() bool { return k.last != nil }

func (k *resultKeeper) Kept() (kept []byte, truncated bool) {
	k.lines.end()
	if k.truncated {
		return nil, true
	}
	return k.last, false
}
