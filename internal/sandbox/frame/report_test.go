package frame

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var testResult = Result{
	Reason: Exit, ExitCode: 3, StdoutBytes: 5, OOMKills: -1, Wall: time.Second, PeakMemory: 1 << 20, CPUTime: time.Millisecond,
}

// encodeReports returns the frames of three reports.
func encodeReports(t require.TestingT, secret []byte) [][]byte {
	var out bytes.Buffer
	w := NewWriter(&out, secret)
	var frames [][]byte
	for _, r := range []Report{
		{Kind: Started},
		{Kind: Stdout, Body: []byte("hello")},
		{Kind: Ended, Result: testResult, Body: []byte("stderr")},
	} {
		require.NoError(t, w.Write(r))
		frames = append(frames, bytes.Clone(out.Bytes()))
		out.Reset()
	}
	return frames
}

// readAll counts the reports up to the first error.
func readAll(raw, secret []byte) (n int, err error) {
	r := NewReader(bytes.NewReader(raw), secret)
	for {
		if _, err := r.Next(); err != nil {
			return n, err
		}
		n++
	}
}

func TestReportRoundTrip(t *testing.T) {
	secret := NewSecret()
	r := NewReader(bytes.NewReader(bytes.Join(encodeReports(t, secret), nil)), secret)

	first, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, Started, first.Kind)
	second, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, Report{Kind: Stdout, Body: []byte("hello")}, second)
	third, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, Report{Kind: Ended, Result: testResult, Body: []byte("stderr")}, third)
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)
}

func TestForgedReportIsRefused(t *testing.T) {
	secret := NewSecret()
	f := encodeReports(t, secret)
	other := encodeReports(t, NewSecret())
	for name, c := range map[string]struct {
		frames    [][]byte
		wantValid int
	}{
		"another secret":         {[][]byte{other[0]}, 0},
		"another secret between": {[][]byte{f[0], other[1], f[1]}, 1},
		"repeated":               {[][]byte{f[0], f[1], f[1]}, 2},
		"reordered":              {[][]byte{f[0], f[2], f[1]}, 1},
		"dropped":                {[][]byte{f[1]}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := readAll(bytes.Join(c.frames, nil), secret)
			require.ErrorIs(t, err, ErrForged)
			require.Equal(t, c.wantValid, n)
		})
	}
}

// A frame with any single changed bit is rejected, and the frames before it are accepted.
func TestReportWithFlippedBitIsRefused(t *testing.T) {
	secret := NewSecret()
	frames := encodeReports(t, secret)
	raw := bytes.Join(frames, nil)
	rapid.Check(t, func(t *rapid.T) {
		bit := rapid.IntRange(0, len(raw)*8-1).Draw(t, "bit")
		changed := bytes.Clone(raw)
		changed[bit/8] ^= 1 << (bit % 8)
		n, err := readAll(changed, secret)
		require.NotErrorIs(t, err, io.EOF)
		intact := 0
		for offset := 0; offset+len(frames[intact]) <= bit/8; intact++ {
			offset += len(frames[intact])
		}
		require.Equal(t, intact, n)
	})
}

func TestTooLargeReportIsRefused(t *testing.T) {
	require.NoError(t, NewWriter(io.Discard, NewSecret()).Write(Report{Kind: Stdout, Body: make([]byte, MaxBody)}))
	w := NewWriter(io.Discard, NewSecret())
	require.ErrorIs(t, w.Write(Report{Kind: Stdout, Body: make([]byte, MaxBody+1)}), ErrTooLarge)

	raw := encodeReports(t, NewSecret())[1]
	binary.BigEndian.PutUint32(raw[8:], MaxBody+1)
	_, err := readAll(raw, NewSecret())
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestTruncatedReportIsUnexpectedEOF(t *testing.T) {
	secret := NewSecret()
	raw := encodeReports(t, secret)[0]
	for n := 1; n < len(raw); n++ {
		_, err := readAll(raw[:n], secret)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func TestEndedReportWithoutResultIsRefused(t *testing.T) {
	secret := NewSecret()
	var out bytes.Buffer
	w := NewWriter(&out, secret)
	require.NoError(t, w.Write(Report{Kind: "res_lt"}))
	raw := bytes.Replace(out.Bytes(), []byte("res_lt"), []byte("result"), 1)
	w.mac.Reset()
	w.mac.Write(raw[:len(raw)-w.mac.Size()])
	raw = w.mac.Sum(raw[:len(raw)-w.mac.Size()])
	_, err := readAll(raw, secret)
	require.ErrorIs(t, err, ErrMalformed)
}

// A long stream needs no more memory than one report.
func TestReaderReusesMemory(t *testing.T) {
	secret := NewSecret()
	var out bytes.Buffer
	w := NewWriter(&out, secret)
	for range 1000 {
		require.NoError(t, w.Write(Report{Kind: Stdout, Body: make([]byte, MaxBody)}))
	}
	result := testing.Benchmark(func(b *testing.B) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			n, _ := readAll(out.Bytes(), secret)
			require.Equal(b, 1000, n)
		}
	})
	require.Less(t, result.AllocedBytesPerOp(), int64(2<<20), "bytes allocated to read 64 MiB")
}

func FuzzReader(f *testing.F) {
	secret := bytes.Repeat([]byte{7}, secretSize)
	valid := bytes.Join(encodeReports(f, secret), nil)
	f.Add(valid)
	f.Add(valid[:len(valid)-1])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := readAll(raw, secret)
		requireKnownError(t, err)
		// Only a process with the secret can make a valid report.
		if n > 0 {
			require.True(t, bytes.HasPrefix(raw, encodeReports(t, secret)[0]))
		}
	})
}

func TestFaultSaysWhetherAgentWasStarted(t *testing.T) {
	secret := NewSecret()
	var out bytes.Buffer
	w := NewWriter(&out, secret)
	faults := []Report{
		{Kind: Fault, NotStarted: true, Body: []byte("no such program")},
		{Kind: Fault, Body: []byte("disk full")}, // as of an older init
	}
	for _, fault := range faults {
		require.NoError(t, w.Write(fault))
	}
	require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("notStarted")))
	r := NewReader(&out, secret)
	for _, fault := range faults {
		got, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, fault, got)
	}
}
