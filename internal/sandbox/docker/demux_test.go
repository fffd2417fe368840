package docker

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// streamFrame returns the bytes that the Engine sends for one write of a container.
func streamFrame(stream byte, content []byte) []byte {
	head := []byte{stream, 0, 0, 0}
	return append(binary.BigEndian.AppendUint32(head, uint32(len(content))), content...)
}

func TestDemuxSplitsStdoutAndStderr(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire, stdout, stderr []byte
		for range rapid.IntRange(0, 20).Draw(t, "parts") {
			content := rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(t, "content")
			if rapid.Bool().Draw(t, "stderr") {
				wire = append(wire, streamFrame(streamStderr, content)...)
				stderr = append(stderr, content...)
			} else {
				wire = append(wire, streamFrame(streamStdout, content)...)
				stdout = append(stdout, content...)
			}
		}
		d := &demux{r: iotest.OneByteReader(bytes.NewReader(wire))}
		got, err := io.ReadAll(d)
		require.NoError(t, err)
		require.True(t, bytes.Equal(stdout, got))
		require.True(t, bytes.Equal(stderr[:min(len(stderr), maxInitStderr)], d.stderr))
	})
}

func TestDemuxRefusesInvalidStream(t *testing.T) {
	_, err := io.ReadAll(&demux{r: bytes.NewReader([]byte("HTTP/1.1 400 Bad Request"))})
	require.ErrorIs(t, err, ErrProtocol)
}

func TestDemuxTruncatedHeaderIsUnexpectedEOF(t *testing.T) {
	_, err := io.ReadAll(&demux{r: bytes.NewReader([]byte{1, 0, 0})})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
