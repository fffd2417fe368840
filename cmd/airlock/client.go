package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// client speaks to an Airlock's API.
type client struct {
	base string // such as http://127.0.0.1:8000
}

func serverFlag(f *pflag.FlagSet, c *client) {
	f.StringVar(&c.base, "server", cmp.Or(os.Getenv("AIRLOCK_URL"), "http://127.0.0.1:8000"), "address of the API (AIRLOCK_URL)")
}

// callTimeout is longer than the longest wait that is asked for.
const callTimeout = 90 * time.Second

// call sends body as JSON, if there is one, and reads the answer into result.
func (c client) call(ctx context.Context, method, path string, body, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var sent io.Reader
	contentType := ""
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent, contentType = bytes.NewReader(data), "application/json"
	}
	return c.exchange(ctx, method, path, contentType, sent, result)
}

// send posts a stream, however long that takes, and reads the answer into result.
func (c client) send(ctx context.Context, path, contentType string, body io.Reader, result any) error {
	return c.exchange(ctx, http.MethodPost, path, contentType, body, result)
}

func (c client) exchange(ctx context.Context, method, path, contentType string, body io.Reader, result any) error {
	res, err := c.do(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(result)
}

// copyResults copies the results of a batch as they are.
func (c client) copyResults(ctx context.Context, batch string, follow bool, to io.Writer) error {
	path := "/batches/" + url.PathEscape(batch) + "/results"
	if follow {
		path += "?follow=true"
	}
	res, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(to, res.Body)
	return err
}

// do returns an answer that is no problem; its body is the caller's to close.
// A problem is returned as an error of its detail.
func (c client) do(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	base, err := url.Parse(c.base)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%w: --server must be a URL such as http://127.0.0.1:8000, not %q", errUsage, c.base)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.base, "/")+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if key := os.Getenv("AIRLOCK_API_KEY"); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if errors.Is(err, context.Canceled) {
		return nil, errors.New("interrupted")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if res.StatusCode < http.StatusBadRequest {
		return res, nil
	}
	defer res.Body.Close()
	var p contract.Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Code == "" {
		return nil, fmt.Errorf("%s answered %s to %s", c.base, res.Status, path)
	}
	return nil, fmt.Errorf("%s (%s)", p.Detail, p.Code)
}
