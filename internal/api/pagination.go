package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/store"
)

// defaultLimit is how many resources a page has when the request sets no limit. The contract has the same number, and
// the limits that a request may set.
const defaultLimit = 20

// pageParams are the query parameters of a list.
type pageParams struct {
	limit  int
	cursor string
}

// readPage reads the page of a list that a request asks for. nextCursor is empty on the last page.
func readPage[T any](
	c echo.Context, params pageParams,
	read func(ctx context.Context, tenant string, p store.Page) ([]T, error), positionOf func(T) cursorPosition,
) (items []T, nextCursor string, err error) {
	page, err := parsePageRequest(c, params)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	items, err = read(ctx, tenantID(c), page.storePage())
	if err != nil {
		return nil, "", err
	}
	items, nextCursor = trimPage(&page, items, positionOf)
	return items, nextCursor, nil
}

// pageRequest says which page of a list a request asks for.
type pageRequest struct {
	limit    int
	after    *cursorPosition   // nil: the first page
	listHash [sha256.Size]byte // identifies the list and its filters
}

// cursorPosition is where a page ended: at a time and an ID, or at a turn.
type cursorPosition struct {
	sortKey int64  // a time in microseconds, which is Firestore's precision, or the number of a turn
	id      string // of the last resource of the page; empty for turns
}

func timePosition(at time.Time, resourceID string) cursorPosition {
	return cursorPosition{sortKey: at.UnixMicro(), id: resourceID}
}

// parsePageRequest reads limit and cursor of a list. The list is identified by its path and its filters.
func parsePageRequest(c echo.Context, params pageParams) (pageRequest, error) {
	filters := c.QueryParams()
	r := pageRequest{limit: params.limit}
	if !filters.Has("limit") {
		r.limit = defaultLimit
	}
	filters.Del("limit")
	filters.Del("cursor")
	r.listHash = sha256.Sum256([]byte(c.Request().URL.Path + "?" + filters.Encode()))
	if params.cursor == "" {
		return r, nil
	}
	after, ok := r.decodeCursor(params.cursor)
	if !ok {
		return r, invalidField("cursor", "does not belong to this list with these filters; leave it out to start from the first page")
	}
	r.after = &after
	return r, nil
}

// storePage asks for one item more than the page has: it shows whether there is a next page.
func (r *pageRequest) storePage() store.Page {
	p := store.Page{Limit: r.limit + 1}
	if r.after != nil {
		p.After = &store.Cursor{At: time.UnixMicro(r.after.sortKey), ID: r.after.id}
	}
	return p
}

// trimPage removes the additional item and returns the cursor of the next page; empty on the last page.
func trimPage[T any](r *pageRequest, items []T, positionOf func(T) cursorPosition) (page []T, next string) {
	if len(items) <= r.limit {
		return items, ""
	}
	page = items[:r.limit]
	return page, r.encodeCursor(positionOf(page[r.limit-1]))
}

// checksumLen is enough to detect cursors that are invented or belong to another list. There is nothing to protect: a
// cursor leads only to resources that its tenant may read anyway.
const checksumLen = 6

var cursorEncoding = base64.RawURLEncoding.Strict()

// encodeCursor joins the checksum, the sort key and the ID.
func (r *pageRequest) encodeCursor(p cursorPosition) string {
	raw := append(binary.BigEndian.AppendUint64(nil, uint64(p.sortKey)), p.id...)
	return cursorEncoding.EncodeToString(append(r.checksum(raw), raw...))
}

func (r *pageRequest) decodeCursor(cursor string) (cursorPosition, bool) {
	raw, err := cursorEncoding.DecodeString(cursor)
	if err != nil || len(raw) < checksumLen+8 {
		return cursorPosition{}, false
	}
	sum, raw := raw[:checksumLen], raw[checksumLen:]
	if !bytes.Equal(sum, r.checksum(raw)) {
		return cursorPosition{}, false
	}
	return cursorPosition{sortKey: int64(binary.BigEndian.Uint64(raw)), id: string(raw[8:])}, true
}

func (r *pageRequest) checksum(raw []byte) []byte {
	sum := sha256.Sum256(append(r.listHash[:], raw...))
	return sum[:checksumLen]
}
