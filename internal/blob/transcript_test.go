package blob

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

var transcriptRef = execution.Ref{Tenant: "ada", ID: "exe_1"}

// putTranscript stores the transcripts of attempts, in parts.
func putTranscript(t *testing.T, s *Store, attempts ...[]string) (all []byte) {
	t.Helper()
	for i, parts := range attempts {
		offset := int64(0)
		for number, text := range parts {
			p := TranscriptPart{Attempt: i + 1, Number: number + 1, Offset: offset, Size: int64(len(text))}
			require.NoError(t, s.PutTranscriptPart(t.Context(), transcriptRef, p, []byte(text)))
			offset += p.Size
			all = append(all, text...)
		}
	}
	return all
}

func TestTranscript(t *testing.T) {
	t.Parallel()
	s, _ := newFileStore(t)
	r, err := s.Transcript(t.Context(), transcriptRef)
	require.NoError(t, err)
	require.Zero(t, r.Size(), "an execution without a transcript")

	_, err = s.Put(t.Context(), FileKey(newExecution("ada", "exe_1", 1), 0), bytes.NewReader([]byte("a file")))
	require.NoError(t, err)
	attempts := make([][]string, 11)
	for i := range attempts {
		attempts[i] = []string{"first\n", "second\n"}[:1+i%2]
	}
	all := putTranscript(t, s, attempts...)
	r, err = s.Transcript(t.Context(), transcriptRef)
	require.NoError(t, err)
	require.EqualValues(t, len(all), r.Size())
	require.NoError(t, iotest.TestReader(r, all))

	require.NoError(t, s.Delete(t.Context(), transcriptRef))
	r, err = s.Transcript(t.Context(), transcriptRef)
	require.NoError(t, err)
	require.Zero(t, r.Size(), "deleted with the execution")
}

// Only the transcript is deleted, of one execution, also when it was deleted in part before.
func TestDeleteTranscript(t *testing.T) {
	t.Parallel()
	s, _ := newFileStore(t)
	e := newExecution("ada", "exe_1", 1)
	file, err := s.Put(t.Context(), FileKey(e, 0), bytes.NewReader([]byte("a file")))
	require.NoError(t, err)
	many := make([]string, 3*maxTranscriptDeletes)
	for i := range many {
		many[i] = "x"
	}
	putTranscript(t, s, many, many)
	other := execution.Ref{Tenant: "ada", ID: "exe_2"}
	part := TranscriptPart{Attempt: 1, Number: 1, Size: 1}
	require.NoError(t, s.PutTranscriptPart(t.Context(), other, part, []byte("x")))
	require.NoError(t, s.DeleteContent(t.Context(), part.key(transcriptRef)))
	for range 2 {
		require.NoError(t, s.DeleteTranscript(t.Context(), transcriptRef))
		r, err := s.Transcript(t.Context(), transcriptRef)
		require.NoError(t, err)
		require.Zero(t, r.Size())
	}
	r, err := s.Get(t.Context(), FileKey(e, 0), file)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	others, err := s.Transcript(t.Context(), other)
	require.NoError(t, err)
	require.EqualValues(t, 1, others.Size())
}

func TestTranscriptRange(t *testing.T) {
	t.Parallel()
	s, _ := newFileStore(t)
	all := putTranscript(t, s, []string{"0123456789", "abcdef"}, []string{"ABC"})
	r, err := s.Transcript(t.Context(), transcriptRef)
	require.NoError(t, err)
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Range", "bytes=8-16")
	response := httptest.NewRecorder()
	http.ServeContent(response, request, "", time.Time{}, r)
	require.Equal(t, http.StatusPartialContent, response.Code)
	require.Equal(t, string(all[8:17]), response.Body.String())
}

// A part that is missing between others is noticed. What is before and after it can be read.
func TestTranscriptWithGap(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	all := putTranscript(t, s, []string{"0123456789", "abcdef", "ABC"}, []string{"next"})
	require.NoError(t, os.Remove(filepath.Join(dir, "ada/exe_1/1/transcript-000002-10-6.zst")))
	r, err := s.Transcript(t.Context(), transcriptRef)
	require.NoError(t, err)
	require.EqualValues(t, len(all), r.Size())
	got, err := io.ReadAll(r)
	require.ErrorIs(t, err, ErrLost)
	require.Equal(t, "0123456789", string(got))
	_, err = r.Seek(16, io.SeekStart)
	require.NoError(t, err)
	got, err = io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "ABCnext", string(got))
}

// A part whose write was interrupted may be there, and again with what came in the meantime.
func TestTranscriptPartThatWasWrittenTwice(t *testing.T) {
	t.Parallel()
	s, _ := newFileStore(t)
	putTranscript(t, s, []string{"0123456789", "abc"}, []string{"next"})
	again := TranscriptPart{Attempt: 1, Number: 2, Offset: 10, Size: 6}
	require.NoError(t, s.PutTranscriptPart(t.Context(), transcriptRef, again, []byte("abcdef")))
	r, err := s.Transcript(t.Context(), transcriptRef)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdefnext", string(got))
}

func TestLostTranscriptPart(t *testing.T) {
	t.Parallel()
	for name, corrupt := range map[string]func(file string) error{
		"removed": os.Remove,
		"changed": func(file string) error { return os.WriteFile(file, []byte("other"), 0o600) },
	} {
		s, dir := newFileStore(t)
		putTranscript(t, s, []string{"0123456789", "abcdef"})
		r, err := s.Transcript(t.Context(), transcriptRef)
		require.NoError(t, err)
		require.NoError(t, corrupt(filepath.Join(dir, "ada/exe_1/1/transcript-000002-10-6.zst")))
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, ErrLost, name)
		require.ErrorIs(t, r.Err(), ErrLost, name)
		require.Equal(t, "0123456789", string(got))
	}
}
