// Package paging splits sorted lists into the pages of List methods.
//
// It receives the items, a page size and the page token of the previous page, and returns one page and the next page
// token. The token is the key of the last item of the page, so items that are added or removed between two calls
// neither hide nor repeat others. The package stores nothing.
package paging

import (
	"encoding/base64"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrToken refuses a page token that this server did not make.
var ErrToken = status.Error(codes.InvalidArgument, "The page_token is not valid.")

// Size returns the page size to use: limit if the request asks for none or for more.
func Size(requested int32, limit int) (int, error) {
	switch {
	case requested < 0:
		return 0, status.Errorf(codes.InvalidArgument, "The page size must not be negative (page_size=%d).", requested)
	case requested == 0 || int(requested) > limit:
		return limit, nil
	}
	return int(requested), nil
}

// Page returns the first size items after the token, and the token of the next page, "" if there is none. The items
// are sorted by key, and no two have the same key.
func Page[T any](items []T, key func(T) string, size int, token string) (page []T, next string, err error) {
	last, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, "", ErrToken
	}
	first, _ := slices.BinarySearchFunc(items, string(last), func(item T, last string) int {
		if token == "" || key(item) > last {
			return 1
		}
		return -1
	})
	items = items[first:]
	if len(items) <= size {
		return items, "", nil
	}
	return items[:size], base64.RawURLEncoding.EncodeToString([]byte(key(items[size-1]))), nil
}
