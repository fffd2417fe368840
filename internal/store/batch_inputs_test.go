package store

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// upload stores inputs of a new batch of ada, and returns the batch, which SubmitBatch has not stored yet.
func (f fixture) upload(t *testing.T, texts ...string) batch.Batch {
	t.Helper()
	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: f.createAgent(t, ada).ID}
	inputs := f.NewBatchInputWriter(b.Ref())
	for _, text := range texts {
		require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: text}))
	}
	require.NoError(t, inputs.Flush(t.Context()))
	b.Total = inputs.Len()
	require.Equal(t, len(texts), b.Total)
	return b
}

func (f fixture) submitBatch(t *testing.T, texts ...string) batch.Batch {
	t.Helper()
	b := f.upload(t, texts...)
	require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
	return b
}

// repeat returns a text n times.
func repeat(text string, n int) []string {
	return strings.Split(strings.Repeat(text+"\n", n-1)+text, "\n")
}

func (f fixture) countUploads(t *testing.T) int {
	t.Helper()
	return f.countDocuments(t, f.client.CollectionGroup(uploads).Query)
}

// A chunk holds at most 256 inputs and 512 KiB, and at least one input. DispatchBatch finds every input in its chunk.
func TestInputsAreStoredInChunks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	large := strings.Repeat("x", 200<<10)
	for name, c := range map[string]struct {
		texts []string
		first []int // index of the first input of each chunk
	}{
		"few":           {repeat("x", 3), []int{0}},
		"a full chunk":  {repeat("x", maxChunkInputs), []int{0}},
		"one more":      {repeat("x", maxChunkInputs+1), []int{0, maxChunkInputs}},
		"large inputs":  {repeat(large, 5), []int{0, 2, 4}},
		"a small first": {append([]string{"x"}, repeat(large, 3)...), []int{0, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			b := f.submitBatch(t, c.texts...)
			chunks, err := list[inputChunk](t.Context(), f.inputChunks(b.Ref()).Query)
			require.NoError(t, err)
			var first []int
			for _, chunk := range chunks {
				first = append(first, chunk.First)
				for i, input := range chunk.Inputs {
					require.Equal(t, c.texts[chunk.First+i], input.Text)
				}
			}
			require.Equal(t, c.first, first)
		})
	}
}

func TestDeletedInputsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.upload(t, "x")
	b := f.upload(t, repeat("x", 300)...)
	require.NoError(t, f.NewBatchInputWriter(b.Ref()).Delete(t.Context()))
	require.Zero(t, f.countDocuments(t, f.inputChunks(b.Ref()).Query))
	require.Equal(t, 1, f.countUploads(t), "another upload is in progress")
	require.NoError(t, f.SubmitBatch(t.Context(), &other, nil))
}

// The expiry of uploads deletes inputs only if their batch does not exist. The mark of an upload may be stored late,
// when the batch exists: then only the mark is deleted.
func TestExpiredUploadsKeepInputsOfBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	abandoned := f.upload(t, repeat("x", 300)...)
	accepted := f.submitBatch(t, repeat("x", 300)...)
	require.NoError(t, create(t.Context(), f.uploadDoc(ada, accepted.ID), upload{ID: accepted.ID, Tenant: ada}))
	f.clock.Advance(time.Hour)
	young := f.upload(t, "x")

	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := f.ExpiredUploads(t.Context(), now.Add(-time.Minute), new(Scan), 10)
	require.NoError(t, err)
	require.Len(t, expired, 2)
	for _, upload := range expired {
		_, err := upload.Delete(t.Context(), nil)
		require.NoError(t, err)
	}
	require.Zero(t, f.countDocuments(t, f.inputChunks(abandoned.Ref()).Query))
	require.Equal(t, 2, f.countDocuments(t, f.inputChunks(accepted.Ref()).Query))
	require.Equal(t, 1, f.countUploads(t), "of the young upload")
	require.NoError(t, f.SubmitBatch(t.Context(), &young, nil))

	err = f.SubmitBatch(t.Context(), &abandoned, nil)
	require.ErrorIs(t, err, ErrUnavailable, "without its inputs the batch would never end")
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	_, _, err = f.Batch(t.Context(), abandoned.Ref())
	require.ErrorAs(t, err, new(*NotFoundError))
}
