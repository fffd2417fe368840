package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is how many a request for a list asks for; the most that there is.
const pageSize = 100

// pages reads a list to its end, a page at a time, as it is asked for more. An
// error ends it.
func paginate[List, T any](ctx context.Context, c *Client, path string, filter url.Values, items func(List) ([]T, NextCursor)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}}
		maps.Copy(query, filter)
		for {
			list, err := doJSON[List](ctx, c, request{method: http.MethodGet, path: path, query: query})
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			page, next := items(list)
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			query.Set("cursor", next)
		}
	}
}
