package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/store"
)

// IdempotencyStore remembers idempotency keys. CheckIdempotencyKey returns a *store.DuplicateRequestError if the tenant
// has used the key within 24 hours.
type IdempotencyStore interface {
	CheckIdempotencyKey(ctx context.Context, tenant, key string) error
}

const (
	headerIdempotencyKey = "Idempotency-Key"
	// headerReplayed marks the response to a repeated request.
	headerReplayed = "Idempotent-Replayed"
)

const fingerprintKey = "fingerprint"

// replayDuplicates repeats the response of the first request with the same key, even if the created resource has
// changed since. Two requests are the same if they have the same Idempotency-Key and fingerprint. It applies to all
// operations that have this header in the contract.
//
// A handler passes idempotencyKey to the store. A second request at the same time finds no key here; the store then
// returns the DuplicateRequestError from the creation itself.
func (s *Server) replayDuplicates(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key := c.Request().Header.Get(headerIdempotencyKey)
		if op := operationOf(c); key == "" || op == nil || !op.AcceptsHeader(headerIdempotencyKey) {
			return next(c)
		}
		f := newFingerprint(c)
		c.Set(fingerprintKey, f)
		err := s.findDuplicate(c, key)
		if err == nil {
			err = next(c)
		}
		var duplicate *store.DuplicateRequestError
		if !errors.As(err, &duplicate) {
			return err
		}
		if !bytes.Equal(duplicate.Fingerprint, f.sum()) {
			return errIdempotencyKeyReused
		}
		c.Response().Header().Set(headerReplayed, "true")
		return s.respondCreated(c, duplicate.Created)
	}
}

func (s *Server) findDuplicate(c echo.Context, key string) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	return s.stores.Idempotency.CheckIdempotencyKey(ctx, tenantID(c), key)
}

// idempotencyKey returns the key and the fingerprint of a request; nil if it has no key. A handler calls it when it has
// read what it needs of the body and before the creation: the rest of the body is read here.
func idempotencyKey(c echo.Context) *store.IdempotencyKey {
	f, ok := c.Get(fingerprintKey).(*fingerprint)
	if !ok {
		return nil
	}
	return &store.IdempotencyKey{Key: c.Request().Header.Get(headerIdempotencyKey), Fingerprint: f.sum()}
}

// fingerprint is a hash of a request: its method, path, query and body. The body is hashed while it is read.
type fingerprint struct {
	hash hash.Hash
	rest io.Reader // the part of the body that is not read yet
}

func newFingerprint(c echo.Context) *fingerprint {
	r := c.Request()
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", r.Method, r.URL.Path)
	if r.URL.RawQuery != "" {
		fmt.Fprintf(h, "?%s\n", r.URL.RawQuery)
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, h), r.Body}
	return &fingerprint{hash: h, rest: http.MaxBytesReader(c.Response(), r.Body, maxBatchBytes)}
}

// sum reads the rest of the body and returns the hash. An incomplete body has another hash than the complete one.
func (f *fingerprint) sum() []byte {
	_, _ = io.Copy(io.Discard, f.rest)
	return f.hash.Sum(nil)
}

// respondCreated answers a request that created something. Equal values give equal bytes, so a repeated request gets
// the response of the first one.
func (s *Server) respondCreated(c echo.Context, created store.Created) error {
	var (
		status   = http.StatusAccepted
		location string
		view     any
	)
	switch {
	case created.Execution != nil:
		accepted := viewAccepted(*created.Execution)
		location, view = accepted.Urls.Self, accepted
	case created.Batch != nil:
		b := viewBatch(*created.Batch)
		location, view = b.Urls.Self, b
	case created.File != nil:
		status, location, view = http.StatusCreated, "/files/"+created.File.ID, viewFile(*created.File)
	case created.Agent != nil:
		status, location, view = http.StatusCreated, "/agents/"+created.Agent.ID, s.viewAgent(*created.Agent)
	case created.Environment != nil:
		status, location, view = http.StatusCreated, "/environments/"+created.Environment.ID, viewEnvironment(*created.Environment)
	default:
		return errors.New("the record of an idempotency key says nothing of what was created")
	}
	c.Response().Header().Set(echo.HeaderLocation, location)
	return respondJSON(c, status, view)
}
