package blob

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// sum says of what was read through it what content it was.
type hashingReader struct {
	src  io.Reader
	hash hash.Hash
	size int64
}

func newHashingReader(src io.Reader) *hashingReader {
	return &hashingReader{src: src, hash: sha256.New()}
}

func (s *hashingReader) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	s.hash.Write(p[:n])
	s.size += int64(n)
	return n, err
}

func (s *hashingReader) content() execution.Content {
	return execution.Content{Size: s.size, SHA256: s.hash.Sum(nil)}
}

func (s *hashingReader) matches(c execution.Content) bool {
	return s.size == c.Size && bytes.Equal(s.hash.Sum(nil), c.SHA256)
}
