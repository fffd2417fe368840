package blob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ahead is how much of a content is read before any of it is given out. What
// is smaller is known to be whole by then.
const prefetchSize = 256 << 10

// Reader reads one content, from any place. Read from the beginning to the
// end, the last piece comes only once all of it was what it must be: ErrLost
// comes in its stead. A reader that jumps is not told. It is not safe for concurrent use.
type Reader struct {
	expected   execution.Content
	body       *blob.Reader
	hasher     *hashingReader // of body; nil once the reading has jumped
	prefetched []byte
	bodyOffset int64 // of body
	offset     int64 // where the caller is
	err        error // that the reading ended with
}

// Get opens a content that must be what the document says. It returns ErrLost
// when that is known to be untrue, and ErrUnavailable when nothing is known.
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

// readBody reads on, and keeps the end back unless everything was right.
func (r *Reader) readBody(p []byte) (n int, err error) {
	if r.hasher == nil {
		n, err = r.body.Read(p)
	} else {
		n, err = r.hasher.Read(p)
	}
	r.bodyOffset += int64(n)
	switch {
	case errors.Is(err, io.EOF) && r.bodyOffset < r.expected.Size:
		return n, fmt.Errorf("%w: it ends after %d bytes of %d", ErrLost, r.bodyOffset, r.expected.Size)
	case r.hasher != nil && r.bodyOffset == r.expected.Size && !r.hasher.matches(r.expected):
		return 0, fmt.Errorf("%w: its hash is not that of what was put there", ErrLost)
	default:
		return n, err
	}
}

// Seek implements io.Seeker. A place that is not in the content reads as its end.
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

// Err is what the reading ended with, for who had it read by somebody that does not tell.
func (r *Reader) Err() error {
	if errors.Is(r.err, io.EOF) {
		return nil
	}
	return r.err
}

// Close ends the reading.
func (r *Reader) Close() error { return r.body.Close() }

func translateError(key Key, err error) error {
	switch {
	case errors.Is(err, ErrLost):
		return fmt.Errorf("%s: %w", key, err)
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fmt.Errorf("%w: there is no %s", ErrLost, key)
	default:
		return fmt.Errorf("%w: read %s: %w", ErrUnavailable, key, err)
	}
}
