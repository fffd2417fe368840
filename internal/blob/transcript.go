package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	gcblob "gocloud.dev/blob"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// TranscriptPart names one part of the transcript of an attempt. The name of its content says everything, so no
// document has to be written while the agent runs.
type TranscriptPart struct {
	Attempt int
	Number  int   // counts from 1 in each attempt
	Offset  int64 // of the part in the transcript of its attempt, in uncompressed bytes
	Size    int64 // of the part, uncompressed; at most MaxTranscriptPart

	lost bool // it stands for parts that are lost
}

// MaxTranscriptPart bounds the uncompressed size of a part.
const MaxTranscriptPart = 4 << 20

const transcriptFormat = "transcript-%06d-%d-%d.zst"

func (p TranscriptPart) key(ref execution.Ref) Key {
	return attemptKey(ref, p.Attempt, fmt.Sprintf(transcriptFormat, p.Number, p.Offset, p.Size))
}

// parseTranscriptPart returns the part that the content of a key is.
func parseTranscriptPart(ref execution.Ref, key string) (p TranscriptPart, ok bool) {
	_, err := fmt.Sscanf(strings.TrimPrefix(key, prefix(ref)), "%d/"+transcriptFormat, &p.Attempt, &p.Number, &p.Offset, &p.Size)
	return p, err == nil && p.Size > 0 && p.Size <= MaxTranscriptPart && p.key(ref).String() == key
}

// transcriptEncoder compresses parts. EncodeAll may be called concurrently.
var transcriptEncoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)))

// transcriptDecoder decompresses parts. DecodeAll may be called concurrently.
var transcriptDecoder = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(2*MaxTranscriptPart), zstd.WithDecoderConcurrency(0)))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options are constant
	}
	return v
}

// PutTranscriptPart stores a part. It may be repeated after an error. In a folder, a power cut may lose it.
func (s *Store) PutTranscriptPart(ctx context.Context, ref execution.Ref, p TranscriptPart, text []byte) error {
	key := p.key(ref).String()
	if err := s.bucket.WriteAll(ctx, key, transcriptEncoder.EncodeAll(text, nil), nil); err != nil {
		return fmt.Errorf("%w: put %s: %w", ErrUnavailable, key, err)
	}
	return nil
}

// transcriptParts lists the parts that are stored of an execution's transcript now, in no order.
func (s *Store) transcriptParts(ctx context.Context, ref execution.Ref) (parts []TranscriptPart, err error) {
	list := s.bucket.List(&gcblob.ListOptions{Prefix: prefix(ref)})
	for {
		object, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: list the transcript of execution %s: %w", ErrUnavailable, ref.ID, err)
		}
		if p, ok := parseTranscriptPart(ref, object.Key); ok {
			parts = append(parts, p)
		}
	}
}

// maxTranscriptDeletes bounds how many parts of one transcript are deleted at the same time.
const maxTranscriptDeletes = 8

// DeleteTranscript deletes the transcript of an execution, and no other content. It may be repeated after an error: it
// then deletes what is left.
func (s *Store) DeleteTranscript(ctx context.Context, ref execution.Ref) error {
	parts, err := s.transcriptParts(ctx, ref)
	if err != nil {
		return err
	}
	deletes, ctx := errgroup.WithContext(ctx)
	deletes.SetLimit(maxTranscriptDeletes)
	for _, p := range parts {
		deletes.Go(func() error { return s.DeleteContent(ctx, p.key(ref)) })
	}
	return deletes.Wait()
}

// Transcript returns a reader of what is stored of an execution's transcript now: one attempt after another. The caller
// need not close it.
func (s *Store) Transcript(ctx context.Context, ref execution.Ref) (_ *TranscriptReader, err error) {
	r := &TranscriptReader{ctx: ctx, store: s, ref: ref, loaded: -1}
	if r.parts, err = s.transcriptParts(ctx, ref); err != nil {
		return nil, err
	}
	slices.SortFunc(r.parts, func(a, b TranscriptPart) int {
		// The same number can be there again and longer: its first write was interrupted, but had taken effect.
		return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Number, b.Number), cmp.Compare(b.Size, a.Size))
	})
	r.parts = arrange(r.parts)
	r.starts = make([]int64, len(r.parts)+1)
	for i, p := range r.parts {
		r.starts[i+1] = r.starts[i] + p.Size
	}
	return r, nil
}

// arrange puts a lost part where an attempt has a gap, and leaves out what is there already. Parts that are lost at the
// end of an attempt are not noticed: no later one says that they were there.
func arrange(parts []TranscriptPart) []TranscriptPart {
	var all []TranscriptPart
	attempt, next := 0, int64(0)
	for _, p := range parts {
		if p.Attempt != attempt {
			attempt, next = p.Attempt, 0
		}
		if p.Offset < next {
			continue
		}
		if p.Offset > next {
			all = append(all, TranscriptPart{Attempt: attempt, Offset: next, Size: p.Offset - next, lost: true})
		}
		all = append(all, p)
		next = p.Offset + p.Size
	}
	return all
}

// TranscriptReader reads a transcript from any offset. It has at most one part in memory, and is not safe for
// concurrent use. Its errors are ErrLost and ErrUnavailable.
type TranscriptReader struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no parameter for it
	store  *Store
	ref    execution.Ref
	parts  []TranscriptPart
	starts []int64 // of the parts, and the size
	offset int64
	loaded int // index of the part that is in memory; -1: none
	text   []byte
	err    error // of the last read
}

// Size returns the number of bytes.
func (r *TranscriptReader) Size() int64 { return r.starts[len(r.parts)] }

func (r *TranscriptReader) Read(p []byte) (int, error) {
	if r.offset >= r.Size() {
		return 0, io.EOF
	}
	i, found := slices.BinarySearch(r.starts, r.offset)
	if !found {
		i--
	}
	if r.err = r.load(i); r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.text[r.offset-r.starts[i]:])
	r.offset += int64(n)
	return n, nil
}

// load reads a part into memory.
func (r *TranscriptReader) load(i int) error {
	if r.loaded == i {
		return nil
	}
	if p := r.parts[i]; p.lost {
		return fmt.Errorf("%w: %d bytes of the transcript of attempt %d", ErrLost, p.Size, p.Attempt)
	}
	key := r.parts[i].key(r.ref)
	compressed, err := r.store.bucket.ReadAll(r.ctx, key.String())
	if err != nil {
		return translateError(key, err)
	}
	text, err := transcriptDecoder.DecodeAll(compressed, r.text[:0])
	if err != nil || int64(len(text)) != r.parts[i].Size {
		return fmt.Errorf("%w: %s has another content: %w", ErrLost, key, err)
	}
	r.loaded, r.text = i, text
	return nil
}

// Seek implements io.Seeker. An offset behind the transcript reads as its end.
func (r *TranscriptReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.Size()
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d", offset)
	}
	r.offset = offset
	return offset, nil
}

// Err returns the error of the last read, for callers whose reader hides it.
func (r *TranscriptReader) Err() error { return r.err }
