package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// client speaks to an Airlock's API.
type client struct {
	base string // such as http://127.0.0.1:8000
}

// callTimeout is longer than the longest wait that is asked for.
const callTimeout = 90 * time.Second

// call sends body as JSON, if there is one, and reads the answer into result.
// An answer that is a problem is returned as an error of its detail.
func (c client) call(ctx context.Context, method, path string, body, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, &sent)
	if err != nil {
		return fmt.Errorf("%w: --server: %w", errUsage, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		var p contract.Problem
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Code == "" {
			return fmt.Errorf("%s answered %s to %s", c.base, res.Status, path)
		}
		return fmt.Errorf("%s (%s)", p.Detail, p.Code)
	}
	return json.NewDecoder(res.Body).Decode(result)
}
