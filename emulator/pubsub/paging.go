package pubsub

import (
	"encoding/base64"
	"slices"
)

// page cuts one page out of items that are sorted by name. The token is the
// name of the last item of the page before.
func paginate[T any](items []T, name func(T) string, size int32, token string) ([]T, string, error) {
	if size < 0 {
		return nil, "", invalid("The page size must not be negative (page_size=%d).", size)
	}
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, "", invalid("Invalid page token (page_token=%s).", token)
	}
	first, _ := slices.BinarySearchFunc(items, string(after), func(item T, after string) int {
		if name(item) <= after {
			return -1
		}
		return 1
	})
	items = items[first:]
	n := int(size)
	if n == 0 || n > maxPageSize {
		n = maxPageSize
	}
	if len(items) <= n {
		return items, "", nil
	}
	return items[:n], base64.RawURLEncoding.EncodeToString([]byte(name(items[n-1]))), nil
}
