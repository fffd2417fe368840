package blob

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// sum says of what was read through it what content it was.
type sum struct {
	from io.Reader
	hash hash.Hash
	size int64
}

func newSum(from io.Reader) *sum { return &sum{from: from, hash: sha256.New()} }

func (s *sum) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.hash.Write(p[:n])
	s.size += int64(n)
	return n, err
}

func (s *sum) content() execution.Content {
	return execution.Content{Size: s.size, SHA256: s.hash.Sum(nil)}
}

func (s *sum) is(c execution.Content) bool {
	return s.size == c.Size && bytes.Equal(s.hash.Sum(nil), c.SHA256)
}
