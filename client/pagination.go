package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is how many items one request for a list asks for. It is the most that the server allows.
const pageSize = 100

// paginate returns all items of a list. It requests a page when the caller needs it, and ends after an error.
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
