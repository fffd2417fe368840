package blob

import (
	"context"
	"errors"
	"fmt"
	"io"

	gcblob "gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// prefetchSize is how many bytes are read before the caller gets any. A smaller content is checked completely by then.
const prefetchSize = 256 << 10

// Reader reads one content, from any offset. If it is read from the beginning to the end, it checks the size and the
// hash, and returns ErrLost instead of the last bytes of a content that has changed. After a Seek it checks only the
// size. It is not safe for concurrent use.
type Reader struct {
	expected   execution.Content
	body       *gcblob.Reader
	hasher     *hashingReader // of body; nil after a Seek
	prefetched []byte
	bodyOffset int64 // next offset of body
	offset     int64 // next offset of the caller
	err        error // of the last read
}

// Get opens a content that the document describes. It returns ErrLost if the content no longer exists or has another
// size, and ErrUnavailable if blob storage failed.
func (s *Store) Get(ctx context.Context, key Key, expected execution.Content) (*Reader, error) {
	body, err := s.bucket.NewReader(ctx, key.String(), nil)
	if err != nil {
		return nil, translateError(key, err)
	}
	r := &Reader{expected: expected, body: body, hasher: newHashingReader(body)}
	if body.Size() != expected.Size {
		_ = body.Close()
		return nil, fmt.Errorf("%w: %s has %d bytes, not %d", ErrLost, key, body.Size(), expected.Size)
	}
	r.prefetched = make([]byte, min(expected.Size, prefetchSize))
	for read := 0; read < len(r.prefetched); {
		n, err := r.readBody(r.prefetched[read:])
		if read += n; err != nil && read < len(r.prefetched) {
			_ = body.Close()
			return nil, translateError(key, err)
		}
	}
	return r, nil
}

func (r *Reader) Read(p []byte) (int, error) {
	if r.offset >= r.expected.Size {
		return 0, io.EOF
	}
	if r.offset < int64(len(r.prefetched)) {
		n := copy(p, r.prefetched[r.offset:])
		r.offset += int64(n)
		return n, nil
	}
	if r.offset != r.bodyOffset {
		if _, err := r.body.Seek(r.offset, io.SeekStart); err != nil {
			return 0, err
		}
		r.bodyOffset, r.hasher = r.offset, nil
	}
	n, err := r.readBody(p)
	r.offset += int64(n)
	r.err = err
	return n, err
}

// readBody reads from body. It withholds the end of a content that has changed.
func (r *Reader) readBody(p []byte) (n int, err error) {
	if r.hasher == nil {
		n, err = r.body.Read(p)
	} else {
		n, err = r.hasher.Read(p)
	}
	r.bodyOffset += int64(n)
	switch {
	case errors.Is(err, io.EOF) && r.bodyOffset < r.expected.Size:
		return n, fmt.Errorf("%w: truncated after %d of %d bytes", ErrLost, r.bodyOffset, r.expected.Size)
	case r.hasher != nil && r.bodyOffset == r.expected.Size && !r.hasher.matches(r.expected):
		return 0, fmt.Errorf("%w: hash mismatch", ErrLost)
	default:
		return n, err
	}
}

// Seek implements io.Seeker. An offset behind the content reads as its end.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.expected.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d", offset)
	}
	r.offset = offset
	return offset, nil
}

// Err returns the error of the last read, for callers whose reader hides it.
func (r *Reader) Err() error {
	if errors.Is(r.err, io.EOF) {
		return nil
	}
	return r.err
}

// Close closes the content.
func (r *Reader) Close() error { return r.body.Close() }

func translateError(key Key, err error) error {
	switch {
	case errors.Is(err, ErrLost):
		return fmt.Errorf("%s: %w", key, err)
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fmt.Errorf("%w: %s does not exist", ErrLost, key)
	default:
		return fmt.Errorf("%w: read %s: %w", ErrUnavailable, key, err)
	}
}
