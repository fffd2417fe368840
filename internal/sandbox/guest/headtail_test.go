package guest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

func TestTailKeepsLastBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := &tail{size: rapid.IntRange(1, 50).Draw(t, "size")}
		var all []byte
		for _, piece := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 80)).Draw(t, "pieces") {
			require.NoError(t, last.write(piece))
			all = append(all, piece...)
		}
		require.True(t, bytes.Equal(all[max(0, len(all)-last.size):], last.buf))
	})
}

func TestHeadReportsFirstBytes(t *testing.T) {
	secret := frame.NewSecret()
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		limit := rapid.Int64Range(0, 200).Draw(t, "limit")
		h := &head{remaining: limit, reports: frame.NewWriter(&wire, secret)}
		var all, got []byte
		for _, piece := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 80)).Draw(t, "pieces") {
			require.NoError(t, h.write(piece))
			all = append(all, piece...)
		}
		for r := frame.NewReader(&wire, secret); ; {
			report, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			require.Equal(t, frame.Stdout, report.Kind)
			require.NotEmpty(t, report.Body)
			got = append(got, report.Body...)
		}
		require.True(t, bytes.Equal(all[:min(int64(len(all)), limit)], got))
	})
}
