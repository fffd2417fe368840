package store

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Entry{
			Size:      rapid.IntRange(0, 1<<31-1).Draw(t, "size"),
			Key:       rapid.String().Draw(t, "key"),
			Published: time.UnixMicro(rapid.Int64().Draw(t, "published")),
			Failures:  rapid.IntRange(0, 1<<16-1).Draw(t, "failures"),
			Acked:     rapid.Bool().Draw(t, "acked"),
		}
		got, err := decodeEntry(want.encode())
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// FuzzDecode checks that damaged records cause no panic, and that every record that decodes can be encoded again.
func FuzzDecode(f *testing.F) {
	topic, err := Topic{ID: 1 << 40, Config: &pubsubpb.Topic{Name: "t"}}.encode()
	require.NoError(f, err)
	snapshot, err := Snapshot{Topic: 1, NextSeq: 2, Unacked: []uint64{1, 5}, Config: &pubsubpb.Snapshot{Name: "n"}}.encode()
	require.NoError(f, err)
	f.Add(topic)
	f.Add(snapshot)
	f.Add(Entry{Size: 3, Key: "k"}.encode())
	f.Add([]byte{0x80})
	f.Add([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeEntry(b); err == nil {
			again, err := decodeEntry(e.encode())
			require.NoError(t, err)
			require.Equal(t, e, again)
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		if v, err := decodeTopic(b); err == nil {
			_, err := v.encode()
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		if v, err := decodeSubscription(b); err == nil {
			_, err := v.encode()
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		if v, err := decodeSnapshot(b); err == nil {
			_, err := v.encode()
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		if _, _, err := decodeMessage(b); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
		}
	})
}
