package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// defaultLimit is how many resources a page shows when it is not told. The
// contract says so too, and how many it may be told.
const defaultLimit = 20

// listing is a list that somebody reads a page at a time.
type listing struct {
	limit int
	after *place            // nil: the first page
	scope [sha256.Size]byte // of the list and its filters
}

// place is where the page before ended: the time and the ID of the resource
// that was shown last, or the number of a turn.
type place struct {
	number int64 // of microseconds, which is how exactly Firestore knows a time, or of the turn
	id     string
}

func placeOf(at time.Time, id string) place { return place{number: at.UnixMicro(), id: id} }

// readListing reads which page of the list at this path is asked for.
func readListing(c echo.Context, limit int, cursor string) (listing, error) {
	filters := c.QueryParams()
	l := listing{limit: limit}
	if !filters.Has("limit") {
		l.limit = defaultLimit
	}
	filters.Del("limit")
	filters.Del("cursor")
	l.scope = sha256.Sum256([]byte(c.Request().URL.Path + "?" + filters.Encode()))
	if cursor == "" {
		return l, nil
	}
	after, ok := l.decode(cursor)
	if !ok {
		return l, invalid(fieldError("cursor", "is not one that this list gave, with these filters; leave it out to begin again"))
	}
	l.after = &after
	return l, nil
}

// page asks for one more than is shown: it tells whether there is a next page.
func (l *listing) page() store.Page {
	p := store.Page{Limit: l.limit + 1}
	if l.after != nil {
		p.After = &store.Position{At: time.UnixMicro(l.after.number), ID: l.after.id}
	}
	return p
}

// cut takes that one off again, and returns the cursor that leads to it.
func cut[T any](l *listing, found []T, placeOf func(T) place) (shown []T, next string) {
	if len(found) <= l.limit {
		return found, ""
	}
	shown = found[:l.limit]
	return shown, l.encode(placeOf(shown[l.limit-1]))
}

// sumLen is enough to find what was made up or belongs to another list. There
// is nothing to protect: a cursor leads only to what its user may read anyway.
const sumLen = 6

var cursorText = base64.RawURLEncoding.Strict()

// encode makes the cursor of a place: a sum, the number, and the ID.
func (l *listing) encode(p place) string {
	raw := append(binary.BigEndian.AppendUint64(nil, uint64(p.number)), p.id...)
	return cursorText.EncodeToString(append(l.sum(raw), raw...))
}

func (l *listing) decode(cursor string) (place, bool) {
	raw, err := cursorText.DecodeString(cursor)
	if err != nil || len(raw) < sumLen+8 {
		return place{}, false
	}
	sum, raw := raw[:sumLen], raw[sumLen:]
	if !bytes.Equal(sum, l.sum(raw)) {
		return place{}, false
	}
	return place{number: int64(binary.BigEndian.Uint64(raw)), id: string(raw[8:])}, true
}

func (l *listing) sum(raw []byte) []byte {
	sum := sha256.Sum256(append(l.scope[:], raw...))
	return sum[:sumLen]
}

// checkFilterID refuses an ID that can name nothing.
func checkFilterID(field, prefix, value string) error {
	if value != "" && !id.Valid(prefix, value) {
		return invalid(fieldError(field, "must be an ID such as "+prefix+"…"))
	}
	return nil
}
