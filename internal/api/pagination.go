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
type pageRequest struct {
	limit    int
	after    *cursorPosition   // nil: the first page
	listHash [sha256.Size]byte // of the list and its filters
}

// place is where the page before ended: the time and the ID of the resource
// that was shown last, or the number of a turn.
type cursorPosition struct {
	sortKey int64 // of microseconds, which is how exactly Firestore knows a time, or of the turn
	id      string
}

func positionOf(at time.Time, id string) cursorPosition {
	return cursorPosition{sortKey: at.UnixMicro(), id: id}
}

// readListing reads which page of the list at this path is asked for.
func parsePageRequest(c echo.Context, limit int, cursor string) (pageRequest, error) {
	filters := c.QueryParams()
	l := pageRequest{limit: limit}
	if !filters.Has("limit") {
		l.limit = defaultLimit
	}
	filters.Del("limit")
	filters.Del("cursor")
	l.listHash = sha256.Sum256([]byte(c.Request().URL.Path + "?" + filters.Encode()))
	if cursor == "" {
		return l, nil
	}
	after, ok := l.decodeCursor(cursor)
	if !ok {
		return l, invalidRequest(fieldError("cursor", "is not one that this list gave, with these filters; leave it out to begin again"))
	}
	l.after = &after
	return l, nil
}

// page asks for one more than is shown: it tells whether there is a next page.
func (l *pageRequest) storePage() store.Page {
	p := store.Page{Limit: l.limit + 1}
	if l.after != nil {
		p.After = &store.Cursor{At: time.UnixMicro(l.after.sortKey), ID: l.after.id}
	}
	return p
}

// cut takes that one off again, and returns the cursor that leads to it.
func trimPage[T any](l *pageRequest, items []T, positionOf func(T) cursorPosition) (page []T, next string) {
	if len(items) <= l.limit {
		return items, ""
	}
	page = items[:l.limit]
	return page, l.encodeCursor(positionOf(page[l.limit-1]))
}

// sumLen is enough to find what was made up or belongs to another list. There
// is nothing to protect: a cursor leads only to what its user may read anyway.
const checksumLen = 6

var cursorEncoding = base64.RawURLEncoding.Strict()

// encode makes the cursor of a place: a sum, the number, and the ID.
func (l *pageRequest) encodeCursor(p cursorPosition) string {
	raw := append(binary.BigEndian.AppendUint64(nil, uint64(p.sortKey)), p.id...)
	return cursorEncoding.EncodeToString(append(l.checksum(raw), raw...))
}

func (l *pageRequest) decodeCursor(cursor string) (cursorPosition, bool) {
	raw, err := cursorEncoding.DecodeString(cursor)
	if err != nil || len(raw) < checksumLen+8 {
		return cursorPosition{}, false
	}
	sum, raw := raw[:checksumLen], raw[checksumLen:]
	if !bytes.Equal(sum, l.checksum(raw)) {
		return cursorPosition{}, false
	}
	return cursorPosition{sortKey: int64(binary.BigEndian.Uint64(raw)), id: string(raw[8:])}, true
}

func (l *pageRequest) checksum(raw []byte) []byte {
	sum := sha256.Sum256(append(l.listHash[:], raw...))
	return sum[:checksumLen]
}

// checkFilterID refuses an ID that can name nothing.
func checkFilterID(field, prefix, value string) error {
	if value != "" && !id.Valid(prefix, value) {
		return invalidRequest(fieldError(field, "must be an ID such as "+prefix+"…"))
	}
	return nil
}
