package blob

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// hashingReader computes the size and hash of what is read through it.
type hashingReader struct {
	src  io.Reader
	hash hash.Hash
	size int64
}

func newHashingReader(src io.Reader) *hashingReader {
	return &hashingReader{src: src, hash: sha256.New()}
}

func (r *hashingReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.hash.Write(p[:n])
	r.size += int64(n)
	return n, err
}

func (r *hashingReader) content() execution.Content {
	return execution.Content{Size: r.size, SHA256: r.hash.Sum(nil)}
}

func (r *hashingReader) matches(c execution.Content) bool {
	return r.size == c.Size && bytes.Equal(r.hash.Sum(nil), c.SHA256)
}
